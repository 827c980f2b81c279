package queue_test

import (
	"encoding/json"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

// What is stored does not change once released: jobs of a former version are
// still in the queue when the next one starts.
func TestStoredForms(t *testing.T) {
	t.Parallel()
	args, err := json.Marshal(queue.Send{Message: 7, Attempt: 2, Campaign: 3})
	if err != nil || string(args) != `{"message":7,"attempt":2,"campaign":3}` {
		t.Errorf("%s, %v", args, err)
	}
	if kind := (queue.Send{}).Kind(); kind != "send" {
		t.Errorf("the kind is %q", kind)
	}
	for id := campaign.ChannelID(1); id < 200; id += 99 {
		for _, high := range []bool{false, true} {
			name := queue.Name(id, high)
			if got, ok := queue.ChannelOf(name); !ok || got != id {
				t.Errorf("%s is of channel %d, %v", name, got, ok)
			}
		}
	}
	if name := queue.Name(12, true); name != "ch_12_high" {
		t.Errorf("the queue is %q", name)
	}
	for _, other := range []string{"maintenance", "ch_", "ch_x", "default"} {
		if _, ok := queue.ChannelOf(other); ok {
			t.Errorf("%q is no channel's queue", other)
		}
	}
	// A rescue must come after the longest turn, or the same job runs twice.
	if queue.RescueAfter <= queue.JobTimeout {
		t.Errorf("rescued after %v, and a turn takes %v", queue.RescueAfter, queue.JobTimeout)
	}
}
