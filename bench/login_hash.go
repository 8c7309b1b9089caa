package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Names of figures about hashing. Those of requests are alone and beside logins.
const (
	figBesideLogins = "beside logins"
	figHashes       = "wrong passwords hashed/s"
	figTurnedAway   = "logins turned away with 503/s"
	figOtherAnswers = "logins answered otherwise"
	figHashMemory   = "memory of the control plane, over that before the first login: MiB"
)

const (
	// floodClients log in at once: more than an edge lets wait for one environment.
	floodClients = 96
	// floodPause lies between a refusal and the next attempt. An edge gives a network 20 pages
	// a second.
	floodPause = 100 * time.Millisecond
	// floodAttempts is how often one network tries that is turned away. After a wrong password
	// another one comes: while many fail in a directory, those that have failed wait.
	floodAttempts = 20
	// floodRamp is until all hash that can.
	floodRamp  = time.Second
	memoryLook = 50 * time.Millisecond
)

// takeHashing asks for a public path as often as possible, alone and while wrong passwords
// come as often as they can be hashed, and more.
func takeHashing(ctx context.Context, b *bench, round int) error {
	p, err := b.site(ctx)
	if err != nil {
		return err
	}
	alone, err := wrk(ctx, b.dir, p.t, b.o.length)
	if err != nil {
		return err
	}
	f := p.flood(ctx)
	time.Sleep(floodRamp)
	hashed, away, other := f.hashed.Load(), f.away.Load(), f.other.Load()
	begin := time.Now()
	beside, err := wrk(ctx, b.dir, p.t, b.o.length)
	elapsed := time.Since(begin).Seconds()
	hashed, away, other = f.hashed.Load()-hashed, f.away.Load()-away, f.other.Load()-other
	if err := errors.Join(err, f.stop(), alone.failed(), beside.failed()); err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "login-hash", nameOurs, name, v) }
	for name, l := range map[string]load{figAlone: alone, figBesideLogins: beside} {
		put(name+sessionRate, l.perSecond)
		put(name+p99Suffix, l.p99)
	}
	put(figHashes, float64(hashed)/elapsed)
	put(figTurnedAway, float64(away)/elapsed)
	put(figOtherAnswers, float64(other))
	put(figHashMemory, (f.most-p.idle)/1024)
	return nil
}

// flood is many who log in with wrong passwords.
type flood struct {
	cancel              context.CancelFunc
	running             sync.WaitGroup
	hashed, away, other atomic.Int64

	mu   sync.Mutex
	most float64 // resident, in KiB
	err  error
}

// flood begins one.
func (p *site) flood(ctx context.Context) *flood {
	f := &flood{}
	ctx, f.cancel = context.WithCancel(ctx)
	for range floodClients {
		f.running.Go(func() {
			for ctx.Err() == nil {
				if err := f.attempt(ctx, p.t); err != nil && ctx.Err() == nil {
					f.fail(err)
					return
				}
			}
		})
	}
	f.running.Go(func() {
		for ctx.Err() == nil {
			resident, err := p.in.control.rss()
			if err != nil {
				f.fail(err)
				return
			}
			f.most = max(f.most, resident)
			time.Sleep(memoryLook)
		}
	})
	return f
}

func (f *flood) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

func (f *flood) stop() error {
	f.cancel()
	f.running.Wait()
	return f.err
}

// attempt logs in from one network until it is told that the password is wrong.
func (f *flood) attempt(ctx context.Context, t target) error {
	t.from = elsewhere()
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for range floodAttempts {
		form := url.Values{"email": {fmt.Sprintf("nobody.%016x@example.com", mathrand.Uint64())}, "password": {sitePassword}}.Encode()
		head := t.head("POST", mezu.ReservedPath+"login", "Origin: https://"+t.authority()+"\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "+strconv.Itoa(len(form))+"\r\n")
		c.SetDeadline(time.Now().Add(answerTime))
		if _, err := c.Write(append(head, form...)); err != nil {
			return err
		}
		status, err := c.status()
		if err != nil {
			return err
		}
		switch status {
		case 422:
			f.hashed.Add(1)
			return nil
		case 503:
			f.away.Add(1)
			time.Sleep(floodPause)
		default:
			f.other.Add(1)
			time.Sleep(floodPause)
		}
	}
	return nil
}

// status reads any answer to its end.
func (c *conn) status() (int, error) {
	line, err := c.r.Peek(12)
	if err != nil {
		return 0, err
	}
	status, err := strconv.Atoi(string(bytes.TrimSpace(line[9:12])))
	if err != nil {
		return 0, err
	}
	n, err := c.answer(status)
	if err == nil {
		err = discard(c.r, n)
	}
	return status, err
}
