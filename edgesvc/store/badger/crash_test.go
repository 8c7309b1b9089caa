package badger_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
	"github.com/mezusphere/mezu/testkit"
)

// The test binary runs itself as a child that does one of these jobs in a store.
const (
	childEnv    = "MEZU_STORE_TEST_JOB"
	childDirEnv = "MEZU_STORE_TEST_DIR"
	// soakEnv asks for the long form of tests, as make soak does.
	soakEnv = "MEZU_SOAK"

	jobWrite  = "write"  // write until killed, say what was acknowledged
	jobInsist = "insist" // write on when a write is refused
	jobEnd    = "end"    // write a little, and close when there is a line on stdin
	jobDump   = "dump"   // print a digest of all records and of the history
)

const writers = 8

// smallOptions are of a store on a small disk.
func smallOptions(dir string) badger.Options {
	return badger.Options{Dir: dir, Ballast: -1, MinFree: 8 << 20}
}

func child(job, dir string) int {
	db, err := badger.Open(smallOptions(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	switch job {
	case jobWrite:
		return childWrite(db)
	case jobInsist:
		return childInsist(db)
	case jobEnd:
		return childEnd(db)
	default:
		return childDump(db)
	}
}

// childWrite has each writer count a pair of records up, deleting a third on even
// counts and making it on odd ones.
func childWrite(db *badger.DB) int {
	ctx := context.Background()
	var out sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			n := 0
			if r, err := db.Get(ctx, fmt.Sprint("a/", i)); err == nil {
				n, _ = strconv.Atoi(strings.TrimSpace(string(r.Value)))
			}
			for {
				n++
				value := fmt.Sprintf("%d%*s", n, rand.IntN(3000), "")
				_, err := db.Commit(ctx, store.Txn{Ops: []store.Op{
					put(fmt.Sprint("a/", i), value), put(fmt.Sprint("b/", i), value),
					{Key: fmt.Sprint("odd/", i), Value: []byte(strconv.Itoa(n)), Delete: n%2 == 0},
				}})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(4)
				}
				out.Lock()
				fmt.Println(i, n)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return 0
}

// writesEnv is how many writes a stubborn child tries.
const writesEnv = "MEZU_STORE_TEST_WRITES"

// refusals is how many refused writes a stubborn child takes before it gives up.
const refusals = 20

// childInsist writes one record after another and goes on when one is refused.
func childInsist(db *badger.DB) int {
	ctx := context.Background()
	writes, err := strconv.Atoi(os.Getenv(writesEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	refused := 0
	for n := 1; refused < refusals && n <= writes; n++ {
		_, err := db.Commit(ctx, store.Txn{Ops: []store.Op{put("n", fmt.Sprint(n)), put(fmt.Sprintf("p/%06d", n), strings.Repeat("v", 4000))}})
		switch {
		case err == nil:
			fmt.Println("acknowledged", n)
		case errors.Is(err, store.ErrUnavailable):
			fmt.Println("refused", n)
			refused++
		default:
			fmt.Fprintln(os.Stderr, err)
			return 4
		}
	}
	// Reads go on.
	if _, err := db.Get(ctx, "n"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	return 0
}

func childDump(db *badger.DB) int {
	digest, err := digest(context.Background(), db)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	fmt.Println(digest)
	return 0
}

// digest is a hash of all records, read by listing and one by one.
func digest(ctx context.Context, db *badger.DB) (string, error) {
	all, pos, err := dump(ctx, db)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		r, err := db.Get(ctx, key)
		if err != nil {
			return "", err
		}
		if got := fmt.Sprintf("%d %s", r.Revision, r.Value); got != all[key] {
			return "", fmt.Errorf("Get(%q) differs from the listing", key)
		}
		fmt.Fprintf(h, "%q %q\n", key, all[key])
	}
	return fmt.Sprintf("%d %s %x", len(all), pos, h.Sum(nil)), nil
}

func command(t *testing.T, job, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	// With the race detector each would sleep for a second before it ends.
	cmd.Env = append(os.Environ(), childEnv+"="+job, childDirEnv+"="+dir, "GORACE=atexit_sleep_ms=10")
	return cmd
}

// writeAndKill runs a writer, ends it by kill after some acknowledgements and gives the
// last one of each writer.
func writeAndKill(t *testing.T, dir string, after int, kill func(*os.Process) error) [writers]int {
	t.Helper()
	cmd := command(t, jobWrite, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked [writers]int
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			if err != io.EOF && !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
			break
		}
		var i, count int
		if _, err := fmt.Sscan(line, &i, &count); err != nil {
			t.Fatalf("child said %q", line)
		}
		acked[i] = count
		if n == after {
			if err := kill(cmd.Process); err != nil {
				t.Error(err)
				cmd.Process.Kill()
			}
		}
	}
	if cmd.Wait(); stderr.Len() > 0 {
		t.Fatalf("child: %s", stderr.String())
	}
	return acked
}

// S1: killed at any moment, the store has every acknowledged write, no half one, no
// deleted record again, and a history that leads from before to after.
func TestS1Kill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kills := 20
	if os.Getenv(soakEnv) != "" {
		kills = 1000
	}
	random := rand.New(rand.NewPCG(1, 2))
	var after aftermath
	var slowest time.Duration
	for range kills {
		acked := writeAndKill(t, dir, random.IntN(400), (*os.Process).Kill)
		slowest = max(slowest, after.check(t, dir, acked))
		if t.Failed() {
			return
		}
	}
	// Five seconds are promised.
	if slowest > 5*5*time.Second {
		t.Errorf("the slowest of %d openings took %v", kills, slowest)
	}
	t.Logf("%d kills, the slowest opening after one took %v", kills, slowest)
}

// aftermath follows a store from one sudden end of its process to the next.
type aftermath struct {
	replica map[string]string
	from    store.Position
}

// check opens the store, checks records and history, and gives how long the opening
// took.
func (a *aftermath) check(t *testing.T, dir string, acked [writers]int) time.Duration {
	t.Helper()
	begin := time.Now()
	db := open(t, smallOptions(dir))
	took := time.Since(begin)
	all, pos, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range acked {
		checkWriter(t, all, i, want)
	}
	if a.replica != nil {
		replay(t, db, a.replica, a.from, pos)
	} else {
		a.replica = all
	}
	if !maps.Equal(a.replica, all) {
		t.Error("the history doesn't lead to the records")
	}
	a.from = pos
	closeNow(t, db)
	return took
}

// checkWriter checks the records of one writer against its last acknowledgement.
func checkWriter(t *testing.T, all map[string]string, i, want int) {
	t.Helper()
	_, a, _ := strings.Cut(all[fmt.Sprint("a/", i)], " ")
	_, b, _ := strings.Cut(all[fmt.Sprint("b/", i)], " ")
	n, _ := strconv.Atoi(strings.TrimSpace(a))
	if n < want {
		t.Errorf("writer %d: count %d; %d was acknowledged", i, n, want)
	}
	if a != b {
		t.Errorf("writer %d: half a transaction: %.10q, %.10q", i, a, b)
	}
	_, odd, there := strings.Cut(all[fmt.Sprint("odd/", i)], " ")
	if there != (n%2 == 1) || there && odd != strconv.Itoa(n) {
		t.Errorf("writer %d: at count %d the third record is %q", i, n, odd)
	}
}

// replay applies the history to the replica.
func replay(t *testing.T, db *badger.DB, replica map[string]string, from, to store.Position) {
	t.Helper()
	if from == to {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := db.Watch(ctx, "", from)
	if err != nil {
		t.Fatal(err)
	}
	for {
		e := storetest.Next(t, w)
		for _, ch := range e.Changes {
			if ch.Deleted {
				delete(replica, ch.Key)
				continue
			}
			replica[ch.Key] = fmt.Sprintf("%d %s", ch.Revision, ch.Value)
		}
		if e.Position == to {
			return
		}
	}
}

// Damaged files give an error or the right records, never wrong ones.
func TestS2DamagedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, badger.Options{Dir: dir})
	fillStore(t, db, 0)
	closeNow(t, db) // tables
	db = open(t, badger.Options{Dir: dir})
	fillStore(t, db, 1)
	want, err := digest(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	// As a kill -9 would leave it, with a log.
	crashed := filepath.Join(t.TempDir(), "crashed")
	testkit.CopyDir(t, dir, crashed)
	closeNow(t, db)
	if got, said, code := dumpCopy(t, crashed, func(string) error { return nil }); code != 0 || got != want {
		t.Fatalf("undamaged copy: %q, %d, %s; want %q", got, code, said, want)
	}
	type harm struct {
		name   string
		at     int64
		what   string
		damage func(path string, at int64) error
	}
	var harms []harm
	random := rand.New(rand.NewPCG(3, 4))
	for _, name := range files(t, crashed) {
		for i := range 6 {
			h := harm{name, offset(t, filepath.Join(crashed, name), i, random), "flipped byte", flip}
			if i%3 == 2 {
				h.what, h.damage = "cut", cut
			}
			harms = append(harms, h)
		}
	}
	var refused, served atomic.Int64
	beside(len(harms), func(i int) {
		h := harms[i]
		got, _, code := dumpCopy(t, crashed, func(dir string) error { return h.damage(filepath.Join(dir, h.name), h.at) })
		switch {
		case code != 0:
			refused.Add(1)
		case got == want:
			served.Add(1)
		default:
			t.Errorf("%s at %d in %s: other records were served", h.what, h.at, h.name)
		}
	})
	t.Logf("%d damages refused, %d harmless", refused.Load(), served.Load())
	if refused.Load() == 0 {
		t.Error("no damage was noticed")
	}
}

// fillStore writes records, some of them several times, and deletes some.
func fillStore(t *testing.T, db *badger.DB, round int) {
	t.Helper()
	for i := range 300 {
		ops := []store.Op{put(fmt.Sprintf("p/%04d", i*7%400), fmt.Sprintf("%d %d %s", round, i, strings.Repeat("v", i)))}
		if i%4 == 0 {
			ops = append(ops, store.Op{Key: fmt.Sprintf("p/%04d", (i*7+200)%400), Delete: true})
			if ops[0].Key == ops[1].Key {
				ops = ops[:1]
			}
		}
		commit(t, db, ops...)
	}
}

// files lists the files of a store that hold bytes.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Size() > 0 {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// offset picks a byte to damage; most logs are mostly zero, and the rest is what
// matters.
func offset(t *testing.T, path string, i int, random *rand.Rand) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	n := used(t, path)
	if i == 0 || n == 0 {
		return random.Int64N(info.Size())
	}
	return random.Int64N(n)
}

// used is how many bytes a file has without the zeros at its end.
func used(t *testing.T, path string) int64 {
	t.Helper()
	return int64(len(bytes.TrimRight(testkit.ReadData(t, path), "\x00")))
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	return err
}

func cut(path string, at int64) error { return os.Truncate(path, at) }

// beside does as many things as are said, some at a time: children that open a store
// wait for the disk most of the time.
func beside(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// dumpCopy damages a copy of the store and has a child read it: what it makes of the
// records, what it says, and how it ends.
func dumpCopy(t *testing.T, dir string, damage func(dir string) error) (digest, said string, code int) {
	work, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(work)
	for _, name := range files(t, dir) {
		testkit.CopyFile(t, filepath.Join(dir, name), filepath.Join(work, name))
	}
	if err := damage(work); err != nil {
		t.Error(err)
	}
	cmd := command(t, jobDump, work)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
		return
	}
	return strings.TrimSpace(out.String()), talk.String(), cmd.ProcessState.ExitCode()
}
