package bench

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/campaignd/campaignd/internal/postgres"
)

// Machine is what a result was measured on.
type Machine struct {
	CPUs     int               `json:"cpus"`
	CPU      string            `json:"cpu,omitempty"` // its model, where the system tells
	Memory   int64             `json:"memory_bytes,omitempty"`
	Go       string            `json:"go"`
	OS       string            `json:"os"`
	Postgres string            `json:"postgres"`
	Settings map[string]string `json:"postgres_settings"`
	Database string            `json:"database"` // embedded or configured
}

func machineOf(f postgres.ServerFacts, database string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Postgres: f.Version, Settings: f.Settings, Database: database}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(release))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = field(string(text), "model name")
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory = kilobytes(field(string(text), "MemTotal"))
	}
	return m
}

// String is the machine on two lines.
func (m Machine) String() string {
	settings := make([]string, 0, len(m.Settings))
	for _, name := range slices.Sorted(maps.Keys(m.Settings)) {
		settings = append(settings, name+"="+m.Settings[name])
	}
	memory := ""
	if m.Memory > 0 {
		memory = fmt.Sprintf(", %.0f GiB", float64(m.Memory)/(1<<30))
	}
	cpu := fmt.Sprintf("%d CPUs", m.CPUs)
	if m.CPU != "" {
		cpu += " (" + m.CPU + ")"
	}
	return fmt.Sprintf("%s%s, %s, %s, PostgreSQL %s (%s)\n%s", cpu, memory, m.OS, m.Go, m.Postgres, m.Database, strings.Join(settings, " "))
}
