package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/manifest"
)

// filePoll is how often the file is checked: a person does not notice the wait, and a
// check costs microseconds. Editors replace a file, rename another over it or write it in
// parts; a check of the name finds all of that on every system.
const filePoll = 250 * time.Millisecond

// devFile is the file that "mezu dev --file" applies, and the targets that it allows.
type devFile struct {
	run     *devRun
	last    fileState
	targets atomic.Pointer[[]mezu.Upstream]
}

// fileState tells versions of a file apart.
type fileState struct {
	changed time.Time
	size    int64
	inode   os.FileInfo
}

// look gives the state of the file; that of a missing file is zero.
func (d *devFile) look() (fileState, error) {
	info, err := os.Stat(d.run.FilePath)
	if errors.Is(err, fs.ErrNotExist) {
		return fileState{}, nil
	}
	if err != nil {
		return fileState{}, err
	}
	return fileState{info.ModTime(), info.Size(), info}, nil
}

func (s fileState) same(o fileState) bool {
	return s.changed.Equal(o.changed) && s.size == o.size && (s.inode == nil) == (o.inode == nil) && (s.inode == nil || os.SameFile(s.inode, o.inode))
}

// mayForward is asked by the Warpgate for each request to a target.
func (d *devFile) mayForward(u mezu.Upstream) bool {
	targets := d.targets.Load()
	return targets != nil && slices.ContainsFunc(*targets, func(t mezu.Upstream) bool { return t.Network() == u.Network() && t.Address == u.Address })
}

// apply applies what was read. The targets of the routes are allowed before the routes
// are in force, and no more if they could not be applied.
func (d *devFile) apply(ctx context.Context, f *manifest.File) error {
	var before, wanted []mezu.Upstream
	if was := d.targets.Load(); was != nil {
		before = *was
	}
	for _, text := range f.Manifest.Environments[d.run.Environment].Upstreams() {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			return err
		}
		wanted = append(wanted, u)
	}
	both := slices.Concat(before, wanted)
	d.targets.Store(&both)
	err := d.run.developer.apply(ctx, d.run.Organization, d.run.Project, f.Manifest)
	if err != nil {
		d.targets.Store(&before)
		return f.Explain(err)
	}
	d.targets.Store(&wanted)
	return nil
}

// watch applies the file whenever it has changed and was the same at the next check,
// until ctx ends. A file that can't be applied leaves everything as it is.
func (d *devFile) watch(ctx context.Context) error {
	tick := time.NewTicker(filePoll)
	defer tick.Stop()
	var seen fileState // a change that may not be complete yet
	for changing := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, err := d.look()
		if err != nil {
			continue // the next check decides
		}
		switch {
		case now.inode == nil, !changing && now.same(d.last):
			continue // missing for a moment, or unchanged
		case !changing || !now.same(seen):
			changing, seen = true, now
			continue
		}
		changing, d.last = false, now
		d.run.out.applied(d.run.File.Name, d.reapply(ctx))
	}
}

func (d *devFile) reapply(ctx context.Context) error {
	f, err := manifest.Read(ctx, d.run.FilePath, d.run.File.Name)
	if err != nil {
		return err
	}
	return d.apply(ctx, f)
}
