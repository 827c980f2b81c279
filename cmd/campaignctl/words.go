package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/keyword"
)

func wordsCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "words",
		Usage: "the words by which people stop and start marketing",
		Description: `Somebody who writes or presses nothing but such a word gets no more marketing, or
gets it again. Case, accents, punctuation and spaces do not matter.`,
		Subcommands: []*cli.Command{
			{
				Name:        "list",
				Usage:       "list the words, the built-in ones and your own",
				Description: text(`Lists every word with its language and meaning.`, examples(`suppress words list`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.wordsList,
			},
			{
				Name:        "set",
				Usage:       "give a word a meaning",
				ArgsUsage:   "WORD",
				Description: text(`Running daemons take it up with the next message that somebody writes.`, examples(`suppress words set "no gracias" --meaning stop`, `suppress words set alto --meaning none`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "meaning", Required: true, Usage: "`stop|start|none`; none takes a built-in word away"},
					jsonFlag(),
				},
				Action: p.wordsSet,
			},
			{
				Name:        "unset",
				Usage:       "forget what set said of a word",
				ArgsUsage:   "WORD",
				Description: text(`A built-in word has its own meaning again.`, examples(`suppress words unset alto`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.wordsSet,
			},
			{
				Name:      "confirm",
				Usage:     "set what people are told who stop on a channel",
				ArgsUsage: "CHANNEL [TEXT]",
				Description: text(
					`Whoever stops marketing by a word or a button on the channel is sent TEXT once,
within ten minutes or not at all. By default nobody is told anything; --none goes
back to that. Without TEXT shows what is set.`,
					examples(`suppress words confirm sales-eu "You are unsubscribed."`, `suppress words confirm sales-eu --none`)),
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "none", Usage: "tell nobody anything"}, jsonFlag()},
				Action: p.wordsConfirm,
			},
		},
	}
}

type confirmationView struct {
	Channel      string `json:"channel"`
	Confirmation string `json:"confirmation"` // empty: nobody is told anything
}

func (p *program) wordsConfirm(c *cli.Context) error {
	body, none := strings.TrimSpace(c.Args().Get(1)), c.Bool("none")
	switch {
	case none && c.NArg() > 1:
		return usage("give one of them", "--none and a text exclude each other")
	case c.NArg() > 1 && body == "":
		return usage("--none tells nobody anything", "the text is empty")
	}
	s, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	if none || body != "" {
		if err := s.SetConfirmation(c.Context, ch, body); err != nil {
			return err
		}
	}
	set, err := s.ConfirmationText(c.Context, ch.ID)
	if err != nil {
		return err
	}
	return p.result(c, confirmationView{ch.Name, set}, func(w io.Writer) error {
		if set == "" {
			_, err := fmt.Fprintf(w, "people who stop on %s are told nothing\n", ch.Name)
			return err
		}
		_, err := fmt.Fprintf(w, "people who stop on %s are told %q\n", ch.Name, set)
		return err
	})
}

type wordView struct {
	Word     string `json:"word"`
	Language string `json:"language"` // empty of your own words
	Meaning  string `json:"meaning"`
	Own      bool   `json:"own"`
}

func (p *program) wordsList(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	own, err := s.Keywords(c.Context)
	if err != nil {
		return err
	}
	list := []wordView{}
	for _, w := range keyword.Words() {
		if _, changed := own[keyword.Normalise(w.Word)]; !changed {
			list = append(list, wordView{Word: w.Word, Language: w.Language, Meaning: w.Meaning})
		}
	}
	for _, word := range slices.Sorted(maps.Keys(own)) {
		list = append(list, wordView{Word: word, Meaning: own[word], Own: true})
	}
	return p.result(c, list, func(w io.Writer) error {
		t := newTable(w)
		row(t, "WORD", "LANGUAGE", "MEANING")
		for _, v := range list {
			language := v.Language
			if v.Own {
				language = "your own"
			}
			row(t, v.Word, language, v.Meaning)
		}
		return t.Flush()
	})
}

func (p *program) wordsSet(c *cli.Context) error {
	word := keyword.Normalise(c.Args().First())
	if word == "" {
		return usage("a word or a few, such as \"no gracias\"", "%q is no word", c.Args().First())
	}
	meaning := c.String("meaning")
	if c.Command.Name == "set" && !slices.Contains([]string{keyword.Stop, keyword.Start, "none"}, meaning) {
		return usage("stop, start or none", "--meaning %q is not known", meaning)
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := s.SetKeyword(c.Context, word, meaning); err != nil {
		return err
	}
	view := wordView{Word: word, Meaning: meaning, Own: meaning != ""}
	if meaning == "" {
		view.Meaning = keyword.Meaning(word)
	}
	return p.result(c, view, func(w io.Writer) error {
		said := view.Meaning
		if said == "" || said == "none" {
			said = "nothing"
		}
		_, err := fmt.Fprintf(w, "%q means %s\n", word, said)
		return err
	})
}
