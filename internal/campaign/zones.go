package campaign

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine without a zone database sends at the same hours
)

// ZoneNamed knows IANA names and nothing that a machine has beside them: "" and
// "Local", which Go knows, its own localtime and posixrules, the zones with leap
// seconds, and Factory, which stands for a zone that nobody has set.
func ZoneNamed(name string) (*time.Location, bool) {
	switch first, _, _ := strings.Cut(strings.ToLower(name), "/"); first {
	case "", "local", "localtime", "posixrules", "factory", "posix", "right":
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// ZoneSetID names a ZoneSet in the database. Zero is no set: the message may be
// sent at any hour.
type ZoneSetID int16

// ZoneSet says where a person may be, which decides when a window is open for
// them. Few sets serve any number of people, so a message holds the number of
// its set and not the zones.
type ZoneSet struct {
	ID      ZoneSetID
	Country string   // ISO 3166-1 alpha-2 where a preset depends on it, else empty
	Zones   []string // IANA names, sorted; none where nothing is known
}

// Locations loads the zones. The error names one that this program does not
// know.
func (z ZoneSet) Locations() ([]*time.Location, error) {
	locations := make([]*time.Location, len(z.Zones))
	for i, name := range z.Zones {
		var err error
		if locations[i], err = time.LoadLocation(name); err != nil {
			return nil, err
		}
	}
	return locations, nil
}

// Key is the same for equal sets.
func (z ZoneSet) Key() string { return z.Country + ":" + strings.Join(z.Zones, ",") }

// windowDetail is the second half of a counter's key for messages that wait for
// their window: which set they belong to, so that a status can say what they
// wait for without looking at a row.
func windowDetail(set ZoneSetID) string { return ReasonWindow + "/" + strconv.Itoa(int(set)) }

// WindowDetail reads the detail of a counter back; false when it is another's.
func WindowDetail(detail string) (ZoneSetID, bool) {
	text, ok := strings.CutPrefix(detail, ReasonWindow+"/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 16)
	return ZoneSetID(n), err == nil
}

// ZoneCount is how many messages of a plan go to the people of one zone set.
type ZoneCount struct {
	Country string
	Zones   []string
	N       int64
}
