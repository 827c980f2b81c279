package main

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
)

var errPattern = errors.New("a pattern looks at more than digits")

// automaton follows a pattern over decimal digits, all its paths at once.
type automaton struct {
	prog *syntax.Prog
	all  map[string]bool // memory of everyFrom and noneFrom
	none map[string]bool
}

// set is where an automaton may be: instructions that read a digit or match.
type set []uint32

func newAutomaton(pattern string) (*automaton, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	for _, in := range prog.Inst {
		if in.Op == syntax.InstEmptyWidth {
			return nil, errPattern
		}
	}
	return &automaton{prog, map[string]bool{}, map[string]bool{}}, nil
}

func (a *automaton) start() set { return a.closure(nil, uint32(a.prog.Start)) }

// closure adds where one can go from an instruction without reading.
func (a *automaton) closure(s set, pc uint32) set {
	in := &a.prog.Inst[pc]
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return a.closure(a.closure(s, in.Out), in.Arg)
	case syntax.InstCapture, syntax.InstNop:
		return a.closure(s, in.Out)
	case syntax.InstFail:
		return s
	}
	if i, there := slices.BinarySearch(s, pc); !there {
		s = slices.Insert(s, i, pc)
	}
	return s
}

func (a *automaton) step(s set, digit rune) set {
	var next set
	for _, pc := range s {
		if in := &a.prog.Inst[pc]; in.Op != syntax.InstMatch && in.MatchRune(digit) {
			next = a.closure(next, in.Out)
		}
	}
	return next
}

func (a *automaton) matches(s set) bool {
	return slices.ContainsFunc(s, func(pc uint32) bool { return a.prog.Inst[pc].Op == syntax.InstMatch })
}

// every says whether each continuation of n digits matches.
func (a *automaton) every(s set, n int) bool {
	if len(s) == 0 || n == 0 {
		return a.matches(s)
	}
	return a.remembered(a.all, s, n, func() bool {
		for digit := '0'; digit <= '9'; digit++ {
			if !a.every(a.step(s, digit), n-1) {
				return false
			}
		}
		return true
	})
}

// nothing says whether no continuation of n digits matches.
func (a *automaton) nothing(s set, n int) bool {
	if len(s) == 0 || n == 0 {
		return !a.matches(s)
	}
	return a.remembered(a.none, s, n, func() bool {
		for digit := '0'; digit <= '9'; digit++ {
			if !a.nothing(a.step(s, digit), n-1) {
				return false
			}
		}
		return true
	})
}

// never says whether nothing that begins any continuation of up to n digits
// matches.
func (a *automaton) never(s set, n int) bool {
	for i := range n + 1 {
		if !a.nothing(s, i) {
			return false
		}
	}
	return true
}

func (a *automaton) remembered(memory map[string]bool, s set, n int, find func() bool) bool {
	key := fmt.Sprint(n, s)
	known, there := memory[key]
	if !there {
		known = find()
		memory[key] = known
	}
	return known
}
