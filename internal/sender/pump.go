package sender

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/throttle"
)

// lookEvery is how often an idle channel is looked at without being told: a
// notification that was lost delays a message by no more.
const lookEvery = time.Second

// windowTop bounds the questions that an answer may add up to: more workers than
// this no channel has use for.
const windowTop = 4096

// pump begins the turns of one channel: as many at a time as it has workers, each
// when the limiter lets it go, and only as many as there seem to be jobs for. It
// begins with one, goes up by one for each job found, and back to one and to rest
// when there was none: an idle channel costs one small question every lookEvery, a
// busy one takes hundreds of jobs in one transaction.
type pump struct {
	high bool // only messages of high priority

	mu      sync.Mutex
	busy    int    // turns under way
	asking  int    // of them, those that wait to hear which message is theirs
	window  int    // how many may ask at a time
	dry     bool   // nothing was there when somebody asked last
	told    uint64 // how often somebody said that there is something
	changed chan struct{}
}

// pumps of a channel. The first takes whatever is next, high priority first. The
// second has workers and questions of its own for high priority: while a campaign
// goes at full speed, its messages would wait for the batch of hundreds under way,
// and then share one.
type pumps [2]*pump

func newPumps() pumps {
	return pumps{{window: 1, changed: make(chan struct{}, 1)}, {high: true, window: 1, changed: make(chan struct{}, 1)}}
}

// workers is how many of a channel's workers a pump may use.
func (p *pump) workers(of int) int {
	if p.high {
		return max(2, of/4)
	}
	return of
}

// wake says that there may be something to send.
func (p *pump) wake() {
	p.mu.Lock()
	p.told++
	p.dry = false
	p.mu.Unlock()
	p.signal()
}

func (p *pump) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// begin takes a worker for a turn, where one is free and useful.
func (p *pump) begin(workers int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dry || p.busy >= workers || p.asking >= p.window {
		return false
	}
	p.busy++
	p.asking++
	return true
}

// news is how often somebody said that there is something, for heard.
func (p *pump) news() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// heard notes what a question brought that was asked after news.
func (p *pump) heard(found bool, news uint64) {
	p.mu.Lock()
	p.asking--
	if found {
		p.window = min(p.window+1, windowTop)
	} else {
		p.window = 1
		p.dry = p.told == news
	}
	p.mu.Unlock()
	p.signal()
}

// end gives the worker back.
func (p *pump) end() {
	p.mu.Lock()
	p.busy--
	p.mu.Unlock()
	p.signal()
}

// underway is how many turns were begun and did not end.
func (p *pump) underway() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// demand is how many turns the channel could begin at once, as far as is known:
// more than one says that the last question was answered with a message.
func (p *pump) demand() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dry {
		return 0
	}
	return p.window
}

// pump begins turns of a channel until ctx ends.
func (s *Sender) pump(ctx context.Context, id campaign.ChannelID, p *pump) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		ch := s.channel(id)
		if ch == nil || !p.begin(p.workers(ch.workers)) {
			select {
			case <-ctx.Done():
			case <-p.changed:
			case <-look.C:
				p.wake()
			}
			continue
		}
		came := s.Now()
		ticket, err := ch.throttle.Wait(ctx)
		ch.observer.Stage(StageLimiter, s.Now().Sub(came))
		if err != nil {
			p.heard(true, 0)
			p.end()
			if errors.Is(err, throttle.ErrClosed) {
				return
			}
			continue
		}
		s.turns.Go(func() {
			defer p.end()
			s.turn(context.WithoutCancel(ctx), ch, p, &ticket)
		})
	}
}
