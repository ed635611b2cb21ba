package sqlite

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

// childOf holds a file and a number of writes, which make the test binary a process that writes to it.
const childOf = "SIPEAT_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path, count, is := strings.Cut(os.Getenv(childOf), "|"); is {
		n, err := strconv.Atoi(count)
		if err == nil {
			err = work(path, fmt.Sprint("child-", os.Getpid()), n, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	_ = flag.Set("test.parallel", "8") // tests wait for locks and processes; the command line overrides it
	m.Run()
}

// spawn starts a process that writes n times to the file; it prints what was acknowledged.
func spawn(t *testing.T, path string, n int) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", childOf, path, n))
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, said
}

// work puts n items, of which every third is also another process's, claims one effect for each, and writes what was
// acknowledged: "kept ID" or "claimed N".
func work(path, who string, n int, out io.Writer) error {
	s, err := Open(context.Background(), path)
	if err != nil {
		return err
	}
	defer s.Close()
	claims, err := OpenClaims(context.Background(), path+".claims", time.Now)
	if err != nil {
		return err
	}
	defer claims.Close()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}
	var next atomic.Int64
	errs := make(chan error, 16)
	for range cap(errs) {
		go func() {
			for {
				k := int(next.Add(1))
				if k > n {
					errs <- nil
					return
				}
				i := request(k)
				if k%3 != 0 {
					i.ID = who + "-" + i.ID
				}
				if err := s.Put(context.Background(), i); err != nil {
					errs <- err
					return
				}
				say("kept %s", i.ID)
				c, _, err := claims.Claim(context.Background(), strconv.Itoa(k), "", time.Hour)
				if err != nil {
					errs <- err
					return
				}
				if c == store.Claimed {
					say("claimed %d", k)
				}
			}
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// acknowledged reads the output of a process until it ends or has written so many lines.
func acknowledged(said *bufio.Reader, lines int, kept, claimed map[string]int) {
	for range lines {
		line, err := said.ReadString('\n')
		if err != nil {
			return // a line that a kill cut off does not count
		}
		what, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		map[string]map[string]int{"kept": kept, "claimed": claimed}[what][id]++
	}
}

// sound checks that the file is intact and that its items and its demand agree, and returns the number of items.
func sound(t *testing.T, s *Store) (items int) {
	t.Helper()
	var verdict string
	const query = "SELECT (SELECT * FROM pragma_integrity_check), (SELECT count(*) FROM items)"
	require.NoError(t, s.readers.QueryRow(query).Scan(&verdict, &items))
	require.Equal(t, "ok", verdict)
	page, err := s.Demand(t.Context(), store.DemandQuery{Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, items, page.Items[0].Count)
	return items
}

func TestTwoProcessesWriteAtOnce(t *testing.T) {
	t.Parallel()
	const n = 1500
	path := filepath.Join(t.TempDir(), "model.db")
	s := open(t, path)
	cmd, pipeOf := spawn(t, path, n)
	said := bufio.NewReader(pipeOf)
	kept, claimed := map[string]int{}, map[string]int{}
	childKept, childClaimed := map[string]int{}, map[string]int{}
	acknowledged(said, 1, childKept, childClaimed) // it has started writing
	own, pipe := io.Pipe()
	worked := make(chan error, 1)
	go func() {
		worked <- work(path, "parent", n, pipe)
		pipe.Close()
	}()
	var reading sync.WaitGroup
	reading.Go(func() { acknowledged(bufio.NewReader(own), 2*n+1, kept, claimed) })
	reading.Go(func() { acknowledged(said, 2*n+1, childKept, childClaimed) })
	reading.Wait()
	require.NoError(t, <-worked)
	require.NoError(t, cmd.Wait())

	assert.Len(t, kept, n)
	assert.Len(t, childKept, n)
	assert.Equal(t, n+n*2/3, sound(t, s))
	for k := 1; k <= n; k++ {
		id := strconv.Itoa(k)
		assert.Equal(t, 1, claimed[id]+childClaimed[id], "claims of effect %s", id)
	}
	t.Logf("claims won: %d here, %d in the other process", len(claimed), len(childClaimed))
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	kept, claimed := map[string]int{}, map[string]int{}
	for round := range 4 {
		lines := 100 + rand.IntN(600)
		t.Logf("round %d: killed after %d lines", round, lines)
		cmd, pipe := spawn(t, path, 1<<30)
		said := bufio.NewReader(pipe)
		acknowledged(said, lines, kept, claimed)
		require.NoError(t, cmd.Process.Kill())
		acknowledged(said, 1<<30, kept, claimed) // what was still in the pipe
		require.Error(t, cmd.Wait())

		s := open(t, path)
		require.GreaterOrEqual(t, sound(t, s), len(kept))
		for id := range kept {
			_, err := s.Get(t.Context(), "request-created", id)
			require.NoError(t, err)
		}
		claims := openClaims(t, path+".claims", time.Now)
		for id := range claimed {
			c, _, err := claims.Claim(t.Context(), id, "", time.Second)
			require.NoError(t, err)
			require.Equal(t, store.Held, c)
		}
		if round%2 == 0 { // every other child finds the log of the one before
			require.NoError(t, s.Close())
			require.NoError(t, claims.Close())
		}
	}
}
