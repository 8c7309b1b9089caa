package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

const (
	// loudClients share the loud tenant's calls: each makes one after the other.
	loudClients = 8
	// slowDialers is how many connections of the crowd are made at once.
	slowDialers = 32
	// bytePause lies between two bytes of a slow head: some come while small requests
	// are timed beside it.
	bytePause = 3 * time.Second
)

// runCrowd is many connections that send the beginning of a head and then a byte now
// and then. It says so when all of them are there.
func runCrowd(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("crowd", flag.ContinueOnError)
	t := target{secure: true}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	n := f.Int("n", 1, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	conns, err := openCrowd(ctx, t, *n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, len(conns), "connected")
	tick := time.NewTicker(bytePause / time.Duration(len(conns)))
	defer tick.Stop()
	for next := 0; ; next++ {
		select {
		case <-tick.C:
			// One that was cut takes no more, which is no failure.
			_, _ = io.WriteString(conns[next%len(conns)], "a")
		case <-ctx.Done():
			return nil
		}
	}
}

func openCrowd(ctx context.Context, t target, n int) (conns []net.Conn, err error) {
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(n))
	var dialers sync.WaitGroup
	for range slowDialers {
		dialers.Go(func() {
			for left.Add(-1) >= 0 {
				c, failure := dial(ctx, t)
				if failure == nil {
					_, failure = io.WriteString(c, "GET / HTTP/1.1\r\nHost: ")
				}
				mu.Lock()
				if c != nil {
					conns = append(conns, c.Conn) // without its read buffer
				}
				if failure != nil {
					err = failure
				}
				mu.Unlock()
				if failure != nil {
					return
				}
			}
		})
	}
	dialers.Wait()
	return conns, err
}

// runLoud asks an API who the caller is, at a steady pace unless answers are late. It
// takes any answer. It says when it begins, and in the end how many answers a second it
// got.
func runLoud(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("loud", flag.ContinueOnError)
	addr, key := f.String("addr", "", ""), f.String("key", "", "")
	pause, length := f.Duration("pause", time.Millisecond, ""), f.Duration("for", time.Second, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	secret, err := os.ReadFile(*key)
	if err != nil {
		return err
	}
	c, err := apiClient(*addr, &tls.Config{InsecureSkipVerify: true}, string(secret))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "begins")
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	var answers atomic.Int64
	var clients sync.WaitGroup
	for range loudClients {
		clients.Go(func() {
			tick := time.NewTicker(*pause * loudClients)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if _, err := api.Invoke[any](ctx, c, api.OpSelf, nil); err == nil || mezu.CodeOf(err) == mezu.CodeRateLimited {
					answers.Add(1)
				}
			}
		})
	}
	clients.Wait()
	_, err = fmt.Fprintln(out, float64(answers.Load())/length.Seconds())
	return err
}

// quietToken is the one that the refuser lets in.
const quietToken = "quiet"

// runRefuser is a server of net/http that answers the quiet tenant and refuses
// everybody else, with nothing to look up: the least that a loud tenant can cost.
func runRefuser(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("refuser", flag.ContinueOnError)
	pair, err := parseWithPair(f, args)
	if err != nil {
		return err
	}
	answer, err := json.Marshal(api.Self{Kind: "service_account", ID: mezu.NewID(mezu.PrefixServiceAccount, time.Now())})
	if err != nil {
		return err
	}
	refusal, err := json.Marshal(api.Problem{Title: "Too Many Requests", Status: http.StatusTooManyRequests, Code: mezu.CodeRateLimited, Detail: strings.Repeat("x", 100)})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ReadHeaderTimeout: answerTime, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := answer
			w.Header().Set("Content-Type", "application/json")
			if r.Header.Get("Authorization") != "Bearer "+quietToken {
				body = refusal
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusTooManyRequests)
			}
			_, _ = w.Write(body) // who is gone misses it
		})}
	go server.ServeTLS(l, "", "")
	fmt.Fprintln(out, l.Addr())
	<-ctx.Done()
	return server.Close()
}
