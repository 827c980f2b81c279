package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where a system has no /proc these give nothing, and the figures are left out.

// tick is the unit of CPU times in /proc: 1/100 s for programs on every Linux.
const tick = 10 * time.Millisecond

// procStat is what a process has used so far.
type procStat struct {
	name     string
	parent   int
	own      time.Duration // CPU of the process
	children time.Duration // and of its children that have ended
}

func statOf(pid int) (procStat, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, false
	}
	// The name stands in parentheses and may hold any character.
	from, to := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if from < 0 || to < from {
		return procStat{}, false
	}
	s := procStat{name: string(data[from+1 : to])}
	fields := strings.Fields(string(data[to+1:])) // from the third on, proc(5)
	if len(fields) < 15 {
		return procStat{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(fields[i]); return n }
	s.parent = number(1)
	s.own = time.Duration(number(11)+number(12)) * tick
	s.children = time.Duration(number(13)+number(14)) * tick
	return s, true
}

// cpuOf is the CPU time that a process has used.
func cpuOf(pid int) (time.Duration, bool) {
	s, ok := statOf(pid)
	return s.own, ok
}

// cpuOfServer is the CPU time of a PostgreSQL server: of the postmaster, of the
// processes that it has now and of those that have ended.
func cpuOfServer(postmaster int) (time.Duration, bool) {
	server, ok := statOf(postmaster)
	if !ok {
		return 0, false
	}
	total := server.own + server.children
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, false
	}
	for _, e := range entries {
		pid, _ := strconv.Atoi(filepath.Base(e))
		if s, ok := statOf(pid); ok && s.parent == postmaster {
			total += s.own + s.children
		}
	}
	return total, true
}

// postmasterOf finds the server of a backend, where that runs on this machine;
// database is the one that the backend serves, which tells it from a process
// that has its number by chance.
func postmasterOf(backend int, database string) (int, bool) {
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", backend))
	if err != nil || !strings.HasPrefix(string(title), "postgres: ") || !strings.Contains(string(title), " "+database+" ") {
		return 0, false
	}
	s, ok := statOf(backend)
	return s.parent, ok && s.parent > 1
}

// peakMemory is the most memory that a process ever had, in bytes.
func peakMemory(pid int) (int64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	n := kilobytes(field(string(text), "VmHWM"))
	return n, n > 0
}

// field gives the first value of a name in a text of lines "name: value".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kilobytes reads "1234 kB" as bytes.
func kilobytes(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return n << 10
}
