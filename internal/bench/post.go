package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// posterConfig is a bare HTTP client: Count bodies of Before, a number and After
// over Connections connections, as fast as they go.
type posterConfig struct {
	URL         string `json:"url"`
	Before      string `json:"before"`
	After       string `json:"after"`
	Count       int64  `json:"count"`
	Connections int    `json:"connections"`
}

// posterDone is what it took.
type posterDone struct {
	Elapsed time.Duration `json:"elapsed"`
}

// runPoster is the ceiling of everything that sends over HTTP: net/http as its
// documentation shows it, and nothing else.
func runPoster(ctx context.Context, c posterConfig, say func(any) error) error {
	if err := say(struct{}{}); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: c.Connections, MaxIdleConnsPerHost: c.Connections}}
	var next atomic.Int64
	failed := make(chan error, c.Connections)
	started := time.Now()
	var wg sync.WaitGroup
	for range c.Connections {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > c.Count {
					return
				}
				if err := postBare(ctx, client, c, n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(started)
	close(failed)
	if err := <-failed; err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if err := say(posterDone{elapsed}); err != nil {
		return err
	}
	<-ctx.Done() // the parent still wants to see what we used
	return nil
}

func postBare(ctx context.Context, client *http.Client, c posterConfig, n int64) error {
	body := make([]byte, 0, len(c.Before)+20+len(c.After))
	body = append(body, c.Before...)
	body = strconv.AppendInt(body, n, 10)
	body = append(body, c.After...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("D360-Api-Key", benchKey)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("the sink answered " + resp.Status)
	}
	return nil
}
