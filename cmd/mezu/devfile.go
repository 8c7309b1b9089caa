package main

import (
	"context"
	"errors"
	"fmt"
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

// applyPause is how long to wait before a file is applied again of which nobody knows
// whether it came into force.
const applyPause = 5 * time.Second

// devFile is the file that "mezu dev --file" applies, and the targets that it allows.
type devFile struct {
	run     *devRun
	last    fileState
	targets atomic.Pointer[[]mezu.Upstream]
	// unsure says that nobody knows whether the last apply came into force.
	unsure bool
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
	return targets != nil && among(*targets, u)
}

func among(targets []mezu.Upstream, u mezu.Upstream) bool {
	return slices.ContainsFunc(targets, func(t mezu.Upstream) bool { return t.Network() == u.Network() && t.Address == u.Address })
}

// apply applies what was read. The targets of the routes are allowed before the routes
// are in force, and no more if they were refused. If nobody knows what became of them,
// those of before stay allowed beside them, until an apply tells.
func (d *devFile) apply(ctx context.Context, f *manifest.File) error {
	var before, wanted []mezu.Upstream
	if was := d.targets.Load(); was != nil {
		before = *was
	}
	both := slices.Clone(before)
	for _, text := range f.Manifest.Environments[d.run.Environment].Upstreams() {
		u, err := mezu.ParseUpstream(text)
		if err != nil {
			return err
		}
		wanted = append(wanted, u)
		if !among(both, u) {
			both = append(both, u)
		}
	}
	d.targets.Store(&both)
	err := d.run.developer.apply(ctx, d.run.Organization, d.run.Project, f.Manifest)
	d.unsure = err != nil && !refused(err)
	switch {
	case d.unsure:
		return fmt.Errorf("%w; what came of it is not known", err)
	case err != nil:
		d.targets.Store(&before)
		return f.Explain(err)
	}
	d.targets.Store(&wanted)
	d.run.out.remarks(f.Warnings)
	return nil
}

// refused reports whether the control plane did not do what it was asked to. Without its
// answer, or when it failed itself, it may have done it.
func refused(err error) bool {
	e, ok := errors.AsType[*mezu.Error](err)
	return ok && e.Code != mezu.CodeInternal && e.Code != mezu.CodeUnavailable
}

// watch applies the file whenever it has changed and was the same at the next check,
// until ctx ends. A file that can't be applied leaves everything as it is. Where nobody
// knows what became of it, it is applied again after a pause.
func (d *devFile) watch(ctx context.Context) error {
	tick := time.NewTicker(filePoll)
	defer tick.Stop()
	var seen fileState  // a change that may not be complete yet
	var retry time.Time // when to apply again what nobody knows about
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
		case now.inode == nil:
			continue // missing for a moment
		case !changing && now.same(d.last):
			if !d.unsure || time.Now().Before(retry) {
				continue // unchanged
			}
		case !changing || !now.same(seen):
			changing, seen = true, now
			continue
		}
		changing, d.last = false, now
		d.run.out.applied(d.run.File.Name, d.reapply(ctx), d.unsure)
		retry = time.Now().Add(applyPause)
	}
}

func (d *devFile) reapply(ctx context.Context) error {
	d.unsure = false // nothing is tried again of a file that can't be read
	f, err := manifest.Read(ctx, d.run.FilePath, d.run.File.Name)
	if err != nil {
		return err
	}
	return d.apply(ctx, f)
}
