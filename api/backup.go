package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// BackupType is the media type of a backup.
const BackupType = "application/octet-stream"

// backupIdle is the longest pause within a backup: the time to read a page of the store and
// to send 64 KiB over a slow line.
const backupIdle = time.Minute

// errBackupIdle: nothing of a backup came for backupIdle.
var errBackupIdle = errors.New("nothing came for a minute")

// Backup writes a backup of the installation to w and gives its size in bytes. If there is
// an error, what was written can't be used. The client's timeout doesn't apply.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(backupIdle, func() { cancel(errBackupIdle) })
	defer idle.Stop()
	req, err := c.request(ctx, Call{Operation: OpBackup}, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", BackupType)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.brokenBackup(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, c.problemOf(resp)
	}
	n, err := io.Copy(&restarting{w, idle}, resp.Body)
	if err != nil {
		return n, c.brokenBackup(ctx, err)
	}
	return n, nil
}

func (c *Client) brokenBackup(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &UnreachableError{URL: c.BaseURL(), Err: fmt.Errorf("reading the backup: %w", plainCause(err)), flag: c.flag}
}

// restarting is a writer that restarts a timer with each write.
type restarting struct {
	io.Writer
	timer *time.Timer
}

// Write implements io.Writer.
func (r *restarting) Write(p []byte) (int, error) {
	r.timer.Reset(backupIdle)
	return r.Writer.Write(p)
}
