package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// sourceKey is what the daemon's sender calls its hold on a channel whose API key
// cannot be resolved.
const sourceKey = "key"

// printHolds lists the reasons why a scope does not send, each with what lifts
// it. campaignRef and channel are names for the commands; campaignRef is empty
// where a channel is looked at.
func printHolds(w io.Writer, holds []campaign.Hold, campaignRef, channel string) error {
	if len(holds) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nheld, because:")
	return holdRows(w, holds, campaignRef, channel)
}

func holdRows(w io.Writer, holds []campaign.Hold, campaignRef, channel string) error {
	t := newTable(w)
	for _, h := range holds {
		row(t, "  "+string(h.Scope), h.Reason, "("+sourceText(h.Source)+")", holdEnd(h, campaignRef, channel))
	}
	return t.Flush()
}

func sourceText(source string) string { return strings.ReplaceAll(source, "_", " ") }

// holdEnd says when a hold ends by itself, and which command lifts it before.
func holdEnd(h campaign.Hold, campaignRef, channel string) string {
	command := "campaignctl channel resume " + channel
	if h.Scope == campaign.HoldCampaign || h.Scope == campaign.HoldTemplate {
		command = "campaignctl campaign resume " + campaignRef
	}
	switch {
	case h.Source == campaign.SourcePlan && h.Until != nil:
		return "tried again at " + when(h.Until)
	case h.Source == sourceKey:
		return "until its key is there"
	case h.Source == campaign.SourceTemplate:
		return "until the provider approves it again" // which a person cannot do for it
	case h.Until != nil:
		return "until " + when(h.Until) + ", or: " + command
	case h.Scope == campaign.HoldTemplate && h.Source == campaign.SourceCode:
		return "until the provider approves it again, or: " + command
	case h.Source == campaign.SourceAccount:
		return "until the provider lifts it, or: " + command
	}
	return "until: " + command
}
