package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// readLine reads what a person types. Ctrl-C ends it, although the read itself
// cannot be interrupted.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(r).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		typed <- line{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l := <-typed:
		return l.text, l.err
	}
}
