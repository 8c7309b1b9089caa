package source

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// Version is a version that can be compared: that of a release, or of a build some commits after
// one.
type Version struct {
	numbers [3]uint64
	// before are the parts of a version before the release, such as rc.1; nil for a release.
	before []string
	// after is how many commits the build is past the release.
	after uint64
}

// releaseVersion is that of a release as semver.org has it, without the part behind "+", which
// says nothing of the order; and of a build past a release, as "git describe" has it.
var (
	releaseVersion = regexp.MustCompile(`^v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$`)
	describedBuild = regexp.MustCompile(`^(.*)-(\d{1,9})-g[0-9a-f]{4,40}(?:-dirty)?$`)
)

// ParseVersion reads a version. Builds that name none can't be compared with any.
func ParseVersion(s string) (Version, bool) {
	var v Version
	s = strings.TrimSuffix(s, "-dirty")
	if m := describedBuild.FindStringSubmatch(s); m != nil {
		s = m[1]
		v.after, _ = strconv.ParseUint(m[2], 10, 64)
	}
	m := releaseVersion.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	for i := range v.numbers {
		v.numbers[i], _ = strconv.ParseUint(m[1+i], 10, 64)
	}
	if m[4] != "" {
		v.before = strings.Split(m[4], ".")
	}
	return v, true
}

// Compare is negative if v comes before w, and positive if it comes after it.
func (v Version) Compare(w Version) int {
	for i := range v.numbers {
		if c := cmp.Compare(v.numbers[i], w.numbers[i]); c != 0 {
			return c
		}
	}
	if c := compareBefore(v.before, w.before); c != 0 {
		return c
	}
	return cmp.Compare(v.after, w.after)
}

// compareBefore compares what stands behind the numbers: numbers as such and before words, and
// whatever there is before nothing.
func compareBefore(a, b []string) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	for i := range min(len(a), len(b)) {
		x, err1 := strconv.ParseUint(a[i], 10, 64)
		y, err2 := strconv.ParseUint(b[i], 10, 64)
		c := 0
		switch {
		case err1 == nil && err2 == nil:
			c = cmp.Compare(x, y)
		case err1 == nil:
			c = -1
		case err2 == nil:
			c = 1
		default:
			c = strings.Compare(a[i], b[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
