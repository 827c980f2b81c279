package main

import (
	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func campaignCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "campaign",
		Usage: "plan, launch and follow campaigns",
		Description: `A campaign sends one template to everybody on a list. "plan" freezes who gets what
and shows it, "launch" starts it, and the daemon sends. CAMPAIGN is a campaign's
number or its name.`,
		Subcommands: []*cli.Command{
			planCommand(p),
			testCommand(p),
			launchCommand(p),
			{
				Name:  "list",
				Usage: "list the campaigns, the newest first",
				Description: text(`Lists campaigns with how far they have come.`,
					examples(`campaign list`, `campaign list --state running --json`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "state", Usage: "only those that are `draft|scheduled|running|paused|completed|cancelled`"},
					&cli.StringFlag{Name: "channel", Usage: "only those on the channel `NAME`"},
					&cli.IntFlag{Name: "limit", Value: 100, Usage: "at most `N`"},
					jsonFlag(),
				},
				Action: p.campaignList,
			},
			{
				Name:      "status",
				Usage:     "say where every message of a campaign is, and what it waits for",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`Shows the number of messages in each state, which always add up to the total; why
recipients were skipped; which errors ended messages and what to do about them;
and what holds the campaign up, and until when.`,
					examples(`campaign status spring-sale-2026`, `campaign status 12 --json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.campaignStatus,
			},
			{
				Name:      "watch",
				Usage:     "follow a campaign until it is over",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`Shows the status again and again until the campaign is completed or cancelled.
With --json each status is one line. Ctrl-C ends watching, not the campaign.`,
					examples(`campaign watch spring-sale-2026`, `campaign watch 12 --json --interval 10s`)),
				Flags: []cli.Flag{
					&cli.DurationFlag{Name: "interval", Value: watchEvery, Usage: "look every `DURATION`"},
					jsonFlag(),
				},
				Action: p.campaignWatch,
			},
			{
				Name:      "pause",
				Usage:     "stop a campaign for now",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`When the command returns, no further message of the campaign is handed to the
provider; what is on its way arrives. "campaign resume" goes on.`,
					examples(`campaign pause spring-sale-2026 --reason "wrong voucher?"`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "reason", Value: "paused by hand", Usage: "`TEXT` that status shows meanwhile"},
					jsonFlag(),
				},
				Action: p.campaignPause,
			},
			{
				Name:      "resume",
				Usage:     "go on with a campaign",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`Lifts what holds the campaign itself. Holds that remain, of its channel or its
account or because the provider does not approve its template, are told.`,
					examples(`campaign resume spring-sale-2026`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.campaignResume,
			},
			{
				Name:      "cancel",
				Usage:     "end a campaign for good",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`When the command returns, nothing more is handed to the provider: recipients that
were never written to are "cancelled". What is on its way arrives and is counted.
Asks first; without a terminal --yes is needed.`,
					examples(`campaign cancel spring-sale-2026 --yes`)),
				Flags:  []cli.Flag{yesFlag(), jsonFlag()},
				Action: p.campaignCancel,
			},
			capCommand(p),
			resolveCommand(p),
			retryCommand(p),
			{
				Name:      "report",
				Usage:     "tell what became of a campaign",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`Shows the way of the messages from list to reader, why recipients were skipped,
and every error with its title and what to do about it.`,
					examples(`campaign report spring-sale-2026`, `campaign report 12 --json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.campaignReport,
			},
			{
				Name:      "export",
				Usage:     "write one row per recipient",
				ArgsUsage: "CAMPAIGN",
				Description: text(
					`Writes every message of the campaign, skipped ones included, with the columns
message_id, phone, state, reason, error_code, provider_id, attempts, created_at,
sent_at, delivered_at, read_at, failed_at. Times are UTC. Cells that a
spreadsheet would run as a formula are made harmless, but for the phone number,
which is plain +491701234567.`,
					examples(`campaign export spring-sale-2026 > results.csv`, `campaign export 12 --format jsonl --output results.jsonl`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "format", Value: "csv", Usage: "`csv|jsonl`, one JSON object a line"},
					&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` (default: standard output); it appears when it is complete"},
				},
				Action: p.campaignExport,
			},
			repliesCommand(p),
			{
				Name:      "verify",
				Usage:     "prove from the rows that everything adds up",
				ArgsUsage: "[CAMPAIGN]",
				Description: text(
					`Recomputes a campaign, or everything, from the messages themselves: that each
recipient is in exactly one state, that the counters agree, that nothing waits
that nobody will send. With --ledger the record of the simulator is compared, too.
A running daemon does not disturb it.`,
					`Exit codes: 0 when all adds up, 6 when something was found.`,
					examples(`campaign verify`, `campaign verify spring-sale-2026 --ledger posts.jsonl --json`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "ledger", Usage: "compare with the simulator's ledger in `FILE`"},
					jsonFlag(),
				},
				Action: p.campaignVerify,
			},
		},
	}
}

// yesFlag answers the question of a command that cannot be undone.
func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Category: categoryGuard, Usage: "do not ask"}
}

// campaignOf opens the store and finds the campaign that the first argument
// names.
func (p *program) campaignOf(c *cli.Context) (*postgres.Store, campaign.Campaign, func(), error) {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return nil, campaign.Campaign{}, nil, err
	}
	found, err := s.Campaign(c.Context, c.Args().First())
	if err != nil {
		closeStore()
		return nil, campaign.Campaign{}, nil, err
	}
	return s, found, closeStore, nil
}
