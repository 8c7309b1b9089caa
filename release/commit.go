package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// epochVariable is the time of a build, as https://reproducible-builds.org has it.
const epochVariable = "SOURCE_DATE_EPOCH"

// commit is what is built, and when it was made. Every time in a release is this one.
type commit struct {
	id   string
	at   time.Time
	tag  string // the newest tag vMAJOR.MINOR.PATCH at or before it; v0.0.0 if there is none
	here bool   // the tag is of this very commit
	// changed are files that differ from the commit.
	changed bool
}

// version is what a release of the commit is called: as its tag, or as the template of
// snapshots has it.
func (c commit) version(template string) (string, error) {
	v := strings.TrimPrefix(c.tag, "v")
	if c.here && !c.changed {
		return v, nil
	}
	return c.fields(v).apply(template)
}

// fields are what templates may say of a commit.
func (c commit) fields(version string) fields {
	tag := c.tag
	if version != strings.TrimPrefix(tag, "v") {
		tag = "v" + version
	}
	return fields{
		"Version": version, "Tag": tag, "FullCommit": c.id,
		"CommitDate": c.at.Format(time.RFC3339), "CommitTimestamp": strconv.FormatInt(c.at.Unix(), 10),
	}
}

// versionTag is a tag of a release.
var versionTag = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)

// lastCommit asks git what the sources are. Sources without git, such as those of a tar
// file, are built with SOURCE_DATE_EPOCH set.
func lastCommit(ctx context.Context, root string, getenv func(string) string) (commit, error) {
	c := commit{tag: "v0.0.0"}
	if text := getenv(epochVariable); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return c, fmt.Errorf("%s is a number of seconds since 1970, not %q", epochVariable, text)
		}
		c.at = time.Unix(seconds, 0).UTC()
	}
	head, err := git(ctx, root, "log", "-1", "--format=%H %ct")
	if err != nil {
		if c.at.IsZero() {
			return c, fmt.Errorf("asking git for the commit: %w; set %s to build sources without it", err, epochVariable)
		}
		c.id = "unknown"
		return c, nil
	}
	id, seconds, _ := strings.Cut(head, " ")
	c.id = id
	if c.at.IsZero() {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return c, fmt.Errorf("git gives %q as the time of %s", seconds, id)
		}
		c.at = time.Unix(n, 0).UTC()
	}
	// No tag at all is no error: then the snapshot is one of 0.0.1.
	if tag, err := git(ctx, root, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*.[0-9]*.[0-9]*"); err == nil && versionTag.MatchString(tag) {
		c.tag = tag
		exact, err := git(ctx, root, "describe", "--tags", "--exact-match", "--match", tag)
		c.here = err == nil && exact == tag
	}
	status, err := git(ctx, root, "status", "--porcelain")
	c.changed = err != nil || status != ""
	return c, nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
	out, err := output(cmd)
	return strings.TrimSpace(string(out)), err
}

// output runs a program. Its error has what it said.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return stdout.Bytes(), nil
}
