package postgres_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Whatever nodes do, die, pause or do not hear, what those whose lease runs may
// use never sums to more than the rate.
func TestStoreSharesNeverSumAboveTheRate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	const rate = 100.0
	type node struct {
		share float64
		until float64 // on the nodes' clock, in seconds
	}
	rapid.Check(t, func(r *rapid.T) {
		f.exec(t, `TRUNCATE campaign.channel_shares`)
		nodes := make([]node, 4)
		now := 0.0
		sum := func() (total float64) {
			for _, n := range nodes {
				if now < n.until {
					total += n.share
				}
			}
			return total
		}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			i := rapid.IntRange(0, len(nodes)-1).Draw(r, "node")
			switch rapid.SampledFrom([]string{"renew", "renew", "renew", "lost", "pass", "die"}).Draw(r, "what") {
			case "pass":
				seconds := rapid.Float64Range(0.1, 7).Draw(r, "seconds")
				now += seconds
				f.exec(t, `UPDATE campaign.channel_shares SET expires_at = expires_at - make_interval(secs => $1)`, seconds)
			case "die":
				nodes[i] = node{}
			case "lost":
				// The database has it, the node never hears of it.
				confirmed := 0.0
				if now < nodes[i].until {
					confirmed = nodes[i].share
				}
				if _, err := f.RenewShare(t.Context(), f.channel, fmt.Sprint(i), rate, 1, confirmed); err != nil {
					r.Fatal(err)
				}
			case "renew":
				confirmed := 0.0
				if now < nodes[i].until {
					confirmed = nodes[i].share
				}
				weight := rapid.Float64Range(1, 50).Draw(r, "weight")
				share, err := f.RenewShare(t.Context(), f.channel, fmt.Sprint(i), rate, weight, confirmed)
				if err != nil {
					r.Fatal(err)
				}
				nodes[i] = node{share: share, until: now + campaign.ShareLease.Seconds() - 0.05} // asked before it was granted
			}
			if total := sum(); total > rate+1e-6 {
				r.Fatalf("%v may be used of %v: %+v at %v", total, rate, nodes, now)
			}
		}
	})
}

func TestStoreSharesAreDividedAndGivenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	renew := func(node string, weight, confirmed float64) float64 {
		t.Helper()
		share, err := f.RenewShare(t.Context(), f.channel, node, 90, weight, confirmed)
		if err != nil {
			t.Fatal(err)
		}
		return share
	}
	if a := renew("a", 1, 0); a != 90 {
		t.Fatalf("alone: %v", a)
	}
	if b := renew("b", 2, 0); b != 0 {
		t.Fatalf("before the other goes slower: %v", b)
	}
	if a := renew("a", 1, 90); a != 30 {
		t.Fatalf("a goes slower: %v", a)
	}
	if b := renew("b", 2, 0); b != 0 {
		t.Fatalf("a has not confirmed yet: %v", b)
	}
	if a := renew("a", 1, 30); a != 30 {
		t.Fatalf("a confirms: %v", a)
	}
	if b := renew("b", 2, 0); b != 60 {
		t.Fatalf("b has its share: %v", b)
	}
	if err := f.DropShares(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if a := renew("a", 1, 30); a != 90 {
		t.Fatalf("alone again: %v", a)
	}
}
