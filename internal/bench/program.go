package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// ran is what a run of campaignctl took.
type ran struct {
	elapsed time.Duration
	cpu     time.Duration
	memory  int64 // bytes at its peak; 0 where the system does not tell
}

// program runs this program as a person does, as a process of its own, on a
// bench's database; what it prints with --json is read into answer.
func (d *database) program(ctx context.Context, s *Session, answer any, words ...string) (ran, error) {
	cmd := exec.CommandContext(ctx, s.config.Command[0], words...) //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), "CAMPAIGN_DATABASE_URL="+d.url)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return ran{}, fmt.Errorf("start campaignctl: %w", err)
	}
	// The system forgets the peak of a process that has ended.
	peak, ended := make(chan int64), make(chan struct{})
	go func() {
		most := int64(0)
		for {
			if bytes, ok := peakMemory(cmd.Process.Pid); ok {
				most = max(most, bytes)
			}
			select {
			case <-ended:
				peak <- most
				return
			case <-time.After(pollEvery):
			}
		}
	}()
	err := cmd.Wait()
	r := ran{elapsed: time.Since(started), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	close(ended)
	r.memory = <-peak
	if err != nil {
		return r, fmt.Errorf("campaignctl %s: %w: %s", words[0], err, bytes.TrimSpace(complaints.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return r, fmt.Errorf("read what campaignctl %s printed: %w", words[0], err)
	}
	return r, nil
}
