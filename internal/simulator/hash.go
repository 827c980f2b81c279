package simulator

import "math/bits"

// hash mixes strings with a seed. Every decision comes from it and never from a
// random generator shared by requests: what happens to a recipient at his n-th
// send is the same in every run with this seed, whatever else was under way.
// FNV-1a with a final mix: stable between releases of Go, unlike hash/maphash.
func hash(seed uint64, parts ...string) uint64 {
	h := uint64(14695981039346656037) ^ mix(seed)
	for _, s := range parts {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // so that "ab","c" and "a","bc" differ
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// dice gives a sequence of decisions from one hash.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	return mix(uint64(*d))
}

// share is uniform in [0,1).
func (d *dice) share() float64 { return float64(d.next()>>11) / (1 << 53) }

// below is uniform in [0,n).
func (d *dice) below(n uint64) uint64 {
	high, _ := bits.Mul64(d.next(), n)
	return high
}

func (d *dice) between(low, high int64) int64 { return low + int64(d.below(uint64(high-low+1))) }
