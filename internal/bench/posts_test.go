package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func at(milliseconds ...int64) posts {
	p := make(posts, len(milliseconds))
	for i, ms := range milliseconds {
		p[i] = seen{at: ms * int64(time.Millisecond), opaque: uint64(i + 1)} //nolint:gosec // small
	}
	return p
}

func TestTheFullestSecondMayBeginAnywhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		posts posts
		want  int
	}{
		"Nothing":              {at(), 0},
		"One":                  {at(5), 1},
		"AcrossTheFullSecond":  {at(100, 900, 950, 1000, 1040, 1899, 1900, 3000), 5}, // 900 … 1899
		"ASecondIsNotIncluded": {at(0, 1000, 2000), 1},
		"JustBelowIs":          {at(0, 999, 1998), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.posts.most(time.Second); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestPostsBetweenTwoMoments(t *testing.T) {
	t.Parallel()
	p := at(10, 20, 20, 30)
	for _, c := range []struct{ from, to, want int64 }{{0, 100, 4}, {20, 30, 2}, {21, 30, 0}, {30, 20, 0}, {31, 99, 0}} {
		if got := p.between(time.UnixMilli(c.from), time.UnixMilli(c.to)); int64(len(got)) != c.want {
			t.Errorf("from %d to %d: %d POSTs, want %d", c.from, c.to, len(got), c.want)
		}
	}
	if rate := at(0, 500, 1000).rate(); rate != 2 {
		t.Errorf("three POSTs in a second are %v per second", rate)
	}
}

func TestRepeatedOpaqueIDsAreCounted(t *testing.T) {
	t.Parallel()
	p := posts{{1, 7}, {2, 8}, {3, 7}, {4, 7}, {5, 0}, {6, 0}}
	if n := p.repeated(); n != 2 {
		t.Errorf("%d, want 2; what has no opaque id is not compared", n)
	}
}

func TestBackAfterAKill(t *testing.T) {
	t.Parallel()
	var p posts
	for ms := int64(0); ms < 20_000; ms += 10 {
		if ms >= 5_000 && ms < 9_000 && ms%20 == 0 {
			continue // half of the limit for four seconds
		}
		p = append(p, seen{at: ms * int64(time.Millisecond)})
	}
	got := backAfter(p, time.UnixMilli(5_000), time.UnixMilli(20_000), 100)
	if got < 3500*time.Millisecond || got > 4100*time.Millisecond {
		t.Errorf("back after %v, want about 4 s", got)
	}
}

// startChild runs a child in this process; the function ends it.
func startChild(t *testing.T, kind string, config, ready any) (end func()) {
	t.Helper()
	line, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	in, stop := io.Pipe()
	out, says := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := Child(context.Background(), kind, in, says, io.Discard); err != nil {
			t.Error(err)
		}
	})
	if _, err := stop.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(out).Decode(ready); err != nil {
		t.Fatal(err)
	}
	return func() {
		stop.Close()
		wg.Wait()
	}
}

func TestTheSinkAnswersAndRemembers(t *testing.T) {
	t.Parallel()
	var ready sinkReady
	end := startChild(t, childSink, sinkConfig{Listen: "127.0.0.1:0", Latency: 30 * time.Millisecond}, &ready)
	defer end()
	sink := &provider{url: ready.URL}
	ids := map[string]bool{}
	before := time.Now()
	for _, opaque := range []string{"d/1/1", "d/2/1", "d/1/1"} {
		body := `{"to":"+4915100000001","biz_opaque_callback_data":"` + opaque + `"}`
		started := time.Now()
		resp, err := http.Post(ready.URL+"/messages", "application/json", strings.NewReader(body)) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		var got struct {
			Contacts []struct{ Input, WaID string }
			Messages []struct {
				ID     string `json:"id"`
				Status string `json:"message_status"`
			}
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		if len(got.Messages) != 1 || got.Messages[0].Status != "accepted" || ids[got.Messages[0].ID] || !strings.HasPrefix(got.Messages[0].ID, "wamid.") {
			t.Errorf("the answer is %s", answer)
		}
		if !bytes.Contains(answer, []byte(`"input":"+4915100000001","wa_id":"4915100000001"`)) {
			t.Errorf("the answer is %s", answer)
		}
		if took := time.Since(started); took < 30*time.Millisecond {
			t.Errorf("it answered after %v", took)
		}
		ids[got.Messages[0].ID] = true
	}
	got, err := sink.posts(t.Context())
	if err != nil || len(got) != 3 || got.repeated() != 1 || got[1].opaque != hashOpaque("d/2/1") {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.first().Before(before) || got.last().After(time.Now()) {
		t.Errorf("the POSTs are from %v to %v", got.first(), got.last())
	}
	if n, err := sink.count(t.Context()); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if err := sink.forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := sink.posts(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after it forgot: %v, %v", got, err)
	}
}

func TestTheSinkListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":0", "example.com:80", "[::]:0"} {
		err := runSink(t.Context(), sinkConfig{Listen: listen}, func(any) error { t.Errorf("%s: it listens", listen); return nil })
		if err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestResultsKnowTheirVerdict(t *testing.T) {
	t.Parallel()
	r := &Result{}
	r.Add("speed", 10, "messages/s")
	if r.OK != nil {
		t.Error("a result without a goal has a verdict")
	}
	r.AtMost("latency", 10, "ms", 10)
	r.Ratio("share", 0.5, 0.5)
	r.Within("cost", 1.1, 0.1)
	if r.OK == nil || !*r.OK {
		t.Error("met goals are not met")
	}
	r.Ratio("of nothing", 0.1, 0)
	if !*r.OK {
		t.Error("a ratio without a goal was judged")
	}
	r.AtLeast("speed", 9.9, "messages/s", 10)
	r.AtMost("latency", 1, "ms", 10)
	if *r.OK {
		t.Error("a missed goal was forgotten")
	}
	var text bytes.Buffer
	if err := r.Print(&text); err != nil || !strings.Contains(text.String(), ">= 10") || !strings.Contains(text.String(), "NOT MET") {
		t.Errorf("%v: %s", err, text.String())
	}
}
