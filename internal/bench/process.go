package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// The kinds of children.
const (
	childSink = "sink" // a provider that counts
	childNode = "node" // a campaignd
	childPost = "post" // a bare HTTP client
	childNoop = "noop" // River without messages
)

// Child is this program as a part of a benchmark: kind says which. It reads its
// configuration as one JSON line from in, answers in lines of JSON on out, and
// ends when in ends, so that no child outlives its parent.
func Child(ctx context.Context, kind string, in io.Reader, out, stderr io.Writer) error {
	lines := bufio.NewReader(in)
	config, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration of the bench's %s: %w", kind, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		cancel()
	}()
	say := json.NewEncoder(out).Encode
	switch kind {
	case childSink:
		return child(ctx, config, say, runSink)
	case childNode:
		return child(ctx, config, say, func(ctx context.Context, c nodeConfig, say func(any) error) error {
			return runNode(ctx, c, say, stderr)
		})
	case childPost:
		return child(ctx, config, say, runPoster)
	case childNoop:
		return child(ctx, config, say, func(ctx context.Context, c noopConfig, say func(any) error) error {
			return runNoop(ctx, c, say, stderr)
		})
	}
	return campaign.ErrNotFound.With(fmt.Sprintf("a bench has no child %q", kind), "")
}

func child[C any](ctx context.Context, config []byte, say func(any) error, run func(context.Context, C, func(any) error) error) error {
	var c C
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	return run(ctx, c, say)
}

// process is a child as its parent sees it.
type process struct {
	cmd   *exec.Cmd
	kind  string
	stdin io.WriteCloser
	lines chan []byte // what it says; closed when it says no more
	gone  bool
}

// start runs a child; ready receives its first line.
func (s *Session) start(ctx context.Context, kind string, config, ready any) (*process, error) {
	line, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	words := append(append([]string{}, s.config.Command...), kind)
	cmd := exec.Command(words[0], words[1:]...) //nolint:gosec,noctx // this very program; it ends with its standard input
	cmd.Stderr = &brief{w: s.config.Stderr, left: childLines}
	p := &process{cmd: cmd, kind: kind, lines: make(chan []byte, 16)}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the bench's %s: %w", kind, err)
	}
	go func() {
		defer close(p.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			p.lines <- line
		}
	}()
	s.processes = append(s.processes, p)
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("start the bench's %s: %w", kind, err), p.stop(time.Second))
	}
	if err := p.read(ctx, ready); err != nil {
		return nil, errors.Join(err, p.stop(time.Second))
	}
	return p, nil
}

// childLines is how much a child may complain; one that cannot work complains
// five times a second.
const childLines = 40

// brief passes the first writes on, which are lines of a log.
type brief struct {
	w    io.Writer
	left int
}

func (b *brief) Write(p []byte) (int, error) {
	if b.left == 0 {
		return len(p), nil
	}
	if b.left--; b.left == 0 {
		_, err := fmt.Fprintf(b.w, "%s(what else it says is left out)\n", p)
		return len(p), err
	}
	return b.w.Write(p)
}

// read waits for the child's next line.
func (p *process) read(ctx context.Context, into any) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line, ok := <-p.lines:
		if !ok {
			return fmt.Errorf("the bench's %s ended early", p.kind)
		}
		return json.Unmarshal(line, into)
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the child to end and waits; after grace it is killed. What has ended
// is left alone.
func (p *process) stop(grace time.Duration) error {
	if p.gone {
		return nil
	}
	_ = p.stdin.Close()
	late := time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
	err := p.wait()
	if !late.Stop() {
		return fmt.Errorf("the bench's %s did not end within %v", p.kind, grace)
	}
	if err != nil {
		return fmt.Errorf("the bench's %s: %w", p.kind, err)
	}
	return nil
}

// kill ends the child as a failing machine does, without a last word.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait()
}

func (p *process) wait() error {
	for range p.lines { // all of it, before the pipe is closed
	}
	p.gone = true
	return p.cmd.Wait()
}
