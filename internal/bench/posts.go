package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// provider is the sink as its parent sees it.
type provider struct {
	*process
	url string
}

func (s *Session) sink(ctx context.Context, latency time.Duration) (*provider, error) {
	var ready sinkReady
	p, err := s.start(ctx, childSink, sinkConfig{Listen: "127.0.0.1:0", Latency: latency}, &ready)
	if err != nil {
		return nil, err
	}
	return &provider{p, ready.URL}, nil
}

// sinkPatience bounds a question to the sink; the longest answer is 160 MB.
const sinkPatience = 30 * time.Second

func (p *provider) call(ctx context.Context, method, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: sinkPatience}).Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the bench's sink: %w", err)
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// count is how many POSTs the sink has seen.
func (p *provider) count(ctx context.Context) (int64, error) {
	data, err := p.call(ctx, http.MethodGet, sinkCount)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(data), 10, 64)
}

// forget begins anew.
func (p *provider) forget(ctx context.Context) error {
	_, err := p.call(ctx, http.MethodDelete, sinkPosts)
	return err
}

// posts gives everything seen, in the order of time.
func (p *provider) posts(ctx context.Context) (posts, error) {
	data, err := p.call(ctx, http.MethodGet, sinkPosts)
	if err != nil {
		return nil, err
	}
	seenPosts := make(posts, 0, len(data)/16)
	for ; len(data) >= 16; data = data[16:] {
		seenPosts = append(seenPosts, seen{int64(binary.LittleEndian.Uint64(data)), binary.LittleEndian.Uint64(data[8:])}) //nolint:gosec // as written
	}
	slices.SortFunc(seenPosts, func(a, b seen) int { return int(a.at - b.at) })
	return seenPosts, nil
}

// posts are POSTs in the order of time.
type posts []seen

func (p posts) first() time.Time { return time.Unix(0, p[0].at) }
func (p posts) last() time.Time  { return time.Unix(0, p[len(p)-1].at) }

// between gives those from one moment to before another.
func (p posts) between(from, to time.Time) posts {
	i, _ := slices.BinarySearchFunc(p, from.UnixNano(), func(s seen, at int64) int { return int(s.at - at) })
	j, _ := slices.BinarySearchFunc(p, to.UnixNano(), func(s seen, at int64) int { return int(s.at - at) })
	return p[i:max(i, j)]
}

// most is the largest number of POSTs within any window of that length, wherever
// it begins.
func (p posts) most(window time.Duration) int {
	most, from := 0, 0
	for to := range p {
		for p[to].at-p[from].at >= int64(window) {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// repeated counts the POSTs whose opaque id came before.
func (p posts) repeated() int {
	known := make(map[uint64]struct{}, len(p))
	n := 0
	for _, s := range p {
		if s.opaque == 0 {
			continue
		}
		if _, again := known[s.opaque]; again {
			n++
		}
		known[s.opaque] = struct{}{}
	}
	return n
}

// rate is POSTs per second from the first to the last.
func (p posts) rate() float64 {
	if len(p) < 2 {
		return 0
	}
	return float64(len(p)-1) / p.last().Sub(p.first()).Seconds()
}
