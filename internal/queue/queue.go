// Package queue holds every job kind, its arguments, its queue and its retry
// rule, and builds the River clients. It must not know what a job does: workers
// are given to it by cmd.
package queue

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Schema is where River's tables live.
const Schema = "river"

// NotifyChannel is where River's clients listen for new jobs.
const NotifyChannel = Schema + ".river_insert"

// MaxAttempts of a job. Claims take send jobs themselves, so River never tries
// one; of the others a rescue at the last attempt would discard the job.
const MaxAttempts = 100

const (
	// JobTimeout is more than any job that River works takes: our own chores, and
	// what services ask for by job.
	JobTimeout = 40 * time.Second
	// RescueAfter must be above JobTimeout. What a dead node was working runs again
	// after it and at most 30 s, the rescuer's period, later.
	RescueAfter = 45 * time.Second
	// CompletedRetention is short because messages keep the history, and every
	// finished job makes the scheduler's and the cleaner's scans longer.
	CompletedRetention = 10 * time.Minute
	// CancelledRetention is long because a cancelled job is what a service asked for
	// and was refused: it must find the reason. They are few.
	CancelledRetention = 30 * 24 * time.Hour
	// enqueueWorkers is some thousand messages a second, and fewer connections than
	// the smallest pool has.
	enqueueWorkers = 4
)

// Name gives a channel's queue; high is the one whose messages overtake
// campaigns.
func Name(id campaign.ChannelID, high bool) string {
	if high {
		return fmt.Sprintf("ch_%d_high", id)
	}
	return fmt.Sprintf("ch_%d", id)
}

// ChannelOf reads a channel's id from the name of one of its queues.
func ChannelOf(name string) (campaign.ChannelID, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(name, "_high"), "ch_")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(rest, 10, 64)
	return campaign.ChannelID(id), err == nil
}

// Send is the job of one turn of one message, waiting for its claim. The kind and the JSON names are
// stored data: once released they do not change.
type Send struct {
	Message  campaign.MessageID `json:"message"`
	Attempt  int                `json:"attempt"`
	Campaign campaign.ID        `json:"campaign,omitempty"`
}

// Kind names the job in river_job.
func (Send) Kind() string { return "send" }

// Partitions is the periodic job that makes message partitions ahead of need.
type Partitions struct{}

// Kind names the job in river_job.
func (Partitions) Kind() string { return "partitions" }

// Config is what a working client needs beside its workers.
type Config struct {
	ID       string // unique per process
	Logger   *slog.Logger
	Workers  *river.Workers
	Periodic []*river.PeriodicJob
	Enqueue  bool // work the jobs by which services ask for messages
}

// Maintenance is the queue of the daemon's own periodic jobs.
const Maintenance = "maintenance"

// Worker gives the client that works jobs, but not those of the channels: a claim
// takes them itself, in its own transaction. Whatever a node works, it registers
// every other kind: a leader discards stuck jobs of kinds that it does not know.
func Worker(pool *pgxpool.Pool, c Config) (*river.Client[pgx.Tx], error) {
	queues := map[string]river.QueueConfig{Maintenance: {MaxWorkers: 1}}
	if c.Enqueue {
		queues[Enqueue] = river.QueueConfig{MaxWorkers: enqueueWorkers, FetchCooldown: 10 * time.Millisecond}
	}
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID:                          c.ID,
		Schema:                      Schema,
		Logger:                      c.Logger,
		Workers:                     c.Workers,
		PeriodicJobs:                c.Periodic,
		Queues:                      queues,
		JobTimeout:                  JobTimeout,
		RescueStuckJobsAfter:        RescueAfter,
		MaxAttempts:                 MaxAttempts,
		CompletedJobRetentionPeriod: CompletedRetention,
		CancelledJobRetentionPeriod: CancelledRetention,
		// The indexes that are left after our migrations dropped the GIN ones, and ours.
		ReindexerIndexNames: []string{"river_job_available_idx", "river_job_prioritized_fetching_index", "river_job_state_and_finalized_at_index", "river_job_unique_idx"},
	})
}
