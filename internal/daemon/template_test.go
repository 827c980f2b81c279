package daemon

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// looks notes which templates were looked at, and whether the provider could be
// asked; the first look waits until it is let go.
type looks struct {
	begun, let chan struct{}

	mu    sync.Mutex
	asked []campaign.TemplateID
	other []campaign.TemplateID
}

func newLooks() *looks { return &looks{begun: make(chan struct{}, 1000), let: make(chan struct{})} }

func (l *looks) look(ctx context.Context, d campaign.Dropped, ask bool) {
	if ask {
		l.begun <- struct{}{}
		select {
		case <-l.let:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ask {
		l.asked = append(l.asked, d.Template)
	} else {
		l.other = append(l.other, d.Template)
	}
}

func TestWebhooksDoNotWaitForALookAtATemplate(t *testing.T) {
	t.Parallel()
	looks := newLooks()
	l := newLookouts(looks.look)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.Run(ctx) }()

	l.add(ctx, campaign.Dropped{Template: 1})
	<-looks.begun
	// The provider does not answer. More of the same, and others, come meanwhile.
	for range 3 {
		for id := range campaign.TemplateID(3) {
			l.add(ctx, campaign.Dropped{Template: id + 1})
		}
	}
	looks.let <- struct{}{}
	<-looks.begun
	looks.let <- struct{}{}
	<-looks.begun
	stop() // in the middle of the third
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
	if !slices.Equal(looks.asked, []campaign.TemplateID{1, 2, 3}) || len(looks.other) != 0 {
		t.Errorf("asked about %v, decided about %v", looks.asked, looks.other)
	}
}

func TestNoLookIsLostByAStopOrByACrowd(t *testing.T) {
	t.Parallel()
	looks := newLooks()
	l := newLookouts(looks.look)
	for id := range campaign.TemplateID(mostLookouts + 2) {
		l.add(t.Context(), campaign.Dropped{Template: id})
	}
	if want := []campaign.TemplateID{mostLookouts, mostLookouts + 1}; !slices.Equal(looks.other, want) {
		t.Errorf("beyond the bound it decided about %v, want %v", looks.other, want)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Run(stopped); err != nil {
		t.Fatal(err)
	}
	if len(looks.asked) != 0 || len(looks.other) != mostLookouts+2 {
		t.Errorf("at the stop it asked about %v and decided about %d templates", looks.asked, len(looks.other))
	}
}
