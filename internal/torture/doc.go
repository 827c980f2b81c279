// Package torture shows the promise of the product under failure: every
// recipient ends in exactly one bucket, and nobody is messaged twice because of
// us. It holds no code, only a test that runs a whole campaign with the real
// programs, a PostgreSQL server of its own and the simulated provider, kills and
// restarts everything but the provider at random moments, and then holds the
// provider's ledger against the report.
//
// It must know nothing of how the daemon works: it starts programs, types
// commands, reads tables to assert, and reads the ledger. What a recipient must
// end as, it knows from the provider's side alone: from the behaviour it gave the
// number and from what the ledger says became of each POST.
//
//	CAMPAIGN_TORTURE_ROUNDS       kills of campaignd and Postgres; 4
//	CAMPAIGN_TORTURE_RECIPIENTS   300 for each round
//	CAMPAIGN_TORTURE_NODES        sending daemons on one database; 1
//	CAMPAIGN_TORTURE_LEADER       1: one more daemon with --roles webhook, which leads River's queue when it starts first
//	CAMPAIGN_TORTURE_SEED         decides what is struck and when; the clock otherwise
//	CAMPAIGN_TORTURE_KEEP         1: keep the files of the run
//
// The seed decides the recipients' fates and the order of the strikes. It does
// not decide how the machine schedules its processes, so the same seed gives a
// run of the same kind and not the same run.
package torture
