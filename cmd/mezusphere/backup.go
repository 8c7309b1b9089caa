package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/namedfile"
)

const backupUsage = `mezusphere backup - write a backup of a running installation

Usage:
   mezusphere backup FILE [FLAGS]

Asks the running control plane, as an operator, for a backup and writes it to
FILE, which must not be there. It is one state of the store, taken while
everything goes on. The seal key opens it: keep that key, but not beside the
backup.

Flags:
` + operatorUsage + `
Example:
   mezusphere backup nightly.mezu --token-file operator
`

// backup is "mezusphere backup".
func (p *program) backup(ctx context.Context, args []string) error {
	f, o := p.operatorFlags("backup")
	rest, err := p.parseOperator(ctx, f, o, args, 1, backupUsage)
	if err != nil {
		return err
	}
	path := rest[0]
	if _, err := os.Lstat(path); err == nil {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: path + " is there already", Hint: "name another file; a backup overwrites none"}
	}
	drain, _, stop := process.Signals(ctx)
	defer stop()
	client, err := o.client(0)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	n, err := writeBackup(drain, client, path)
	if err != nil {
		return err
	}
	p.Sayf("%d bytes in %s", n, path)
	return nil
}

// writeBackup writes the file. It gets its name when it is complete and on the disk.
func writeBackup(ctx context.Context, client *api.Client, path string) (int64, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.partial") // 0600
	if err != nil {
		return 0, fmt.Errorf("making the backup's file: %w", err)
	}
	defer os.Remove(file.Name())
	n, err := client.Backup(ctx, file)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return n, err
	}
	err = os.Link(file.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return n, &mezu.Error{Code: mezu.CodeConflict, Detail: path + " is there by now", Hint: "name another file; a backup overwrites none"}
	}
	if err != nil {
		return n, fmt.Errorf("naming the backup: %w", err)
	}
	return n, nil
}

const restoreUsage = `
The control plane is not running, and its store is empty. The file is checked to
its last byte before anything is written. What went on when it was made does not
go on: presence, invitations, mail to be sent, and tokens that work once. With
--keep-live they do, for a move to another store. A restore that was interrupted
is run again.
`

// keepLive is a flag of restore that is not a setting.
const keepLive = "--keep-live"

// restore is "mezusphere restore".
func (p *program) restore(ctx context.Context, args []string) error {
	live := slices.Contains(args, keepLive)
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == keepLive })
	var path string
	if len(args) > 0 && len(args[0]) > 0 && args[0][0] != '-' { // before or after the flags
		path, args = args[0], args[1:]
	}
	file, flags, rest, err := p.flags(roleRestore, args)
	if err != nil {
		return err
	}
	if path == "" && len(rest) > 0 {
		path, rest = rest[0], rest[1:]
	}
	if path == "" || len(rest) > 0 {
		return wrong("mezusphere restore needs the FILE of a backup, and that alone")
	}
	c, err := load(ctx, roleRestore, file, flags, p.getenv)
	if err != nil {
		return err
	}
	log, err := process.Logger(p.Err, c.LogFormat, c.LogLevel)
	if err != nil {
		return err
	}
	drain, _, stop := process.Signals(ctx)
	defer stop()
	st, err := c.openStore(drain, log)
	if err != nil {
		return err
	}
	if st != nil {
		defer closeStore(st, log)
	}
	dir, _, err := c.storeLocation()
	if err != nil {
		return err
	}
	backup, err := namedfile.Open(path)
	if err != nil {
		return fmt.Errorf("opening the backup: %w", err)
	}
	defer backup.Close()
	got, err := control.Restore(drain, control.Config{StateDir: c.State, Store: st, StoreDir: dir, SealKey: c.SealKey, Log: log, Version: version}, backup, live)
	if err != nil {
		return runsAlready(drain, c.State, err)
	}
	p.Sayf("restored %d records as they were at %s; start the control plane now", got.Records, got.MadeAt.Format(time.RFC3339))
	return nil
}
