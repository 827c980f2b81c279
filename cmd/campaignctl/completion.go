package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeWord asks for completions instead of a command: the shell gives the
// words typed so far, the last of which is being written.
const completeWord = "__complete"

func completionCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: text(
			`Prints the script that lets a shell complete commands and flags.`,
			"Examples:\n\n"+`  source <(campaignctl completion bash)            # this session; or add it to ~/.bashrc
  campaignctl completion zsh > ~/.zfunc/_campaignctl
  campaignctl completion fish > ~/.config/fish/completions/campaignctl.fish`),
		Action: func(c *cli.Context) error {
			script, known := completionScripts[c.Args().First()]
			if !known {
				return usage("one of bash, zsh, fish", "there is no completion for %q", c.Args().First())
			}
			_, err := fmt.Fprint(p.stdout, script)
			return err
		},
	}
}

var completionScripts = map[string]string{
	"bash": `# bash completion for campaignctl
_campaignctl() {
  local IFS=$'\n'
  COMPREPLY=($(campaignctl ` + completeWord + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _campaignctl campaignctl
`,
	"zsh": `#compdef campaignctl
_campaignctl() {
  local -a found
  found=(${(f)"$(campaignctl ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( ${#found} )); then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_campaignctl" ]; then _campaignctl "$@"; else compdef _campaignctl campaignctl; fi
`,
	"fish": `# fish completion for campaignctl
function __campaignctl_complete
  set -l words (commandline -opc) (commandline -ct)
  campaignctl ` + completeWord + ` $words[2..-1] 2>/dev/null
end
complete -c campaignctl -a '(__campaignctl_complete)'
`,
}

// complete prints what the last of words may become, one a line; nothing where
// an argument or the value of a flag is being written, so that the shell offers
// files.
func (p *program) complete(app *cli.App, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	commands, flags := app.Commands, app.Flags
	for i := 0; i < len(words)-1; i++ {
		word := words[i]
		if word == "--" {
			return
		}
		if strings.HasPrefix(word, "-") {
			f := named(flags, strings.TrimLeft(word, "-"))
			if f != nil && !switchLike(f) {
				i++ // its value
				if i == len(words)-1 {
					return
				}
			}
			continue
		}
		for _, c := range commands {
			if c.HasName(word) {
				commands, flags = c.Subcommands, append(flags[:len(flags):len(flags)], c.Flags...)
				break
			}
		}
	}
	if strings.HasPrefix(last, "-") {
		for _, f := range append(flags[:len(flags):len(flags)], &cli.BoolFlag{Name: "help"}) {
			if name := dashed(f.Names()[0]); strings.HasPrefix(name, last) {
				fmt.Fprintln(p.stdout, name)
			}
		}
		return
	}
	for _, c := range commands {
		if !c.Hidden && strings.HasPrefix(c.Name, last) {
			fmt.Fprintln(p.stdout, c.Name)
		}
	}
}
