package bench

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// Result is what one run of one bench found.
type Result struct {
	Bench   string   `json:"bench"` // as it is run again: "send --rate 80"
	Goal    string   `json:"goal"`
	Figures []Figure `json:"figures"`      // never null, as the next
	Ratios  []Figure `json:"ratios"`       // to a ceiling or a limit, of this run
	OK      *bool    `json:"ok,omitempty"` // every figure with a goal meets it; absent without one
	Machine Machine  `json:"machine"`
	Commit  string   `json:"commit"`
}

// Figure is one number, with the goal that it has to meet where there is one.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	Goal  string  `json:"goal,omitempty"` // ">= 0.5"
	OK    *bool   `json:"ok,omitempty"`
}

// Add notes a figure.
func (r *Result) Add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

// AtMost notes a figure that must not be above most.
func (r *Result) AtMost(name string, value float64, unit string, most float64) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, Goal: "<= " + number(most), OK: r.met(value <= most)})
}

// AtLeast notes a figure that must not be below least.
func (r *Result) AtLeast(name string, value float64, unit string, least float64) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, Goal: ">= " + number(least), OK: r.met(value >= least)})
}

// Ratio notes a ratio; least 0 means that it has no goal.
func (r *Result) Ratio(name string, value, least float64) {
	f := Figure{Name: name, Value: value}
	if least > 0 {
		f.Goal, f.OK = ">= "+number(least), r.met(value >= least)
	}
	r.Ratios = append(r.Ratios, f)
}

// Within notes a ratio that must be at most by away from 1.
func (r *Result) Within(name string, value, by float64) {
	r.Ratios = append(r.Ratios, Figure{Name: name, Value: value, Goal: "1 ± " + number(by), OK: r.met(value >= 1-by && value <= 1+by)})
}

// met keeps the verdict over all goals.
func (r *Result) met(ok bool) *bool {
	all := ok && (r.OK == nil || *r.OK)
	r.OK = &all
	return &ok
}

// number writes a figure with as many digits as mean something.
func number(v float64) string {
	switch {
	case v == float64(int64(v)), v >= 1000 || v <= -1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// Print writes the result as a table; what it was measured on is the same for all
// results of a session.
func (r *Result) Print(w io.Writer) error {
	fmt.Fprintf(w, "bench %s\ngoal: %s\n\n", r.Bench, r.Goal)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, list := range [][]Figure{r.Figures, r.Ratios} {
		for _, f := range list {
			verdict := ""
			if f.OK != nil {
				verdict = f.Goal + "\tmet"
				if !*f.OK {
					verdict = f.Goal + "\tNOT MET"
				}
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Name, number(f.Value), f.Unit, verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
