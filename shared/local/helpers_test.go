package local

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic    = "contact-created"
	childEnv = "SIPEAT_LOCAL_TEST_CHILD" // folder and address of the broker that this binary then is
)

// TestMain turns the test binary into a broker process that can be killed.
func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		child(strings.Split(args, "|"))
		return
	}
	_ = flag.Set("test.parallel", "8") // tests wait for sessions and processes; the command line overrides it
	m.Run()
}

func child(args []string) {
	b, err := Open(context.Background(), Options{Dir: args[0], Address: args[1]})
	if err == nil {
		err = makeTopic(context.Background(), b.Address())
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(b.Address())
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or orphaned
}

// startChild runs a broker in its own process.
func startChild(t *testing.T, dir, address string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s", childEnv, dir, address))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.NotContains(t, line, "error")
	return strings.TrimSpace(line), kill
}

// makeTopic creates the topic of the tests where it is missing.
func makeTopic(ctx context.Context, address string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(ctx, 3, 1, nil, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// start opens a broker with the topic on a free port; it is closed when the test ends.
func start(t *testing.T, o Options) *Broker {
	t.Helper()
	if o.Address == "" {
		o.Address = free(t)
	}
	b, err := Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, makeTopic(t.Context(), b.Address()))
	return b
}

// free is an address that a broker can have again after a restart.
func free(t *testing.T) string {
	t.Helper()
	address, err := port.Free()
	require.NoError(t, err)
	return address
}

func client(t *testing.T, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100 * time.Millisecond), // 5 s by default: retries wait for it
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// produce writes n records of values from..from+n-1 to partition 0, one batch each.
func produce(t *testing.T, address string, from, n int) {
	t.Helper()
	cl := client(t, address)
	defer cl.Close()
	for i := from; i < from+n; i++ {
		r := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}
		require.NoError(t, cl.ProduceSync(within(t, 20*time.Second), r).FirstErr())
	}
}

// consume reads partition 0 from its start to its end and returns the values by offset.
func consume(t *testing.T, address string) (offsets []int64, values []string) {
	t.Helper()
	cl := client(t, address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(within(t, 20*time.Second), topic)
	require.NoError(t, err)
	starts, err := kadm.NewClient(cl).ListStartOffsets(within(t, 20*time.Second), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	begin, _ := starts.Lookup(topic, 0)
	if begin.Offset == end.Offset {
		return nil, nil
	}
	// A marker behind the end arrives after all other records.
	require.NoError(t, cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: topic, Value: []byte("end")}).FirstErr())
	for ctx := within(t, 20*time.Second); ; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset == end.Offset {
				return offsets, values
			}
			offsets, values = append(offsets, r.Offset), append(values, string(r.Value))
		}
	}
}

func numbers(from, n int) []string {
	var all []string
	for i := from; i < from+n; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

// image copies a folder as a kill would leave it.
func image(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	for _, link := range must(filepath.Glob(filepath.Join(to, "*"+syncedSuffix))) {
		require.NoError(t, errors.Join(os.Remove(link), os.Link(strings.TrimSuffix(link, syncedSuffix), link)))
	}
	return to
}

// captureLog returns a logger and its output at warn and above.
func captureLog() (*slog.Logger, *strings.Builder) {
	var sb strings.Builder
	return slog.New(slog.NewTextHandler(&sb, &slog.HandlerOptions{Level: slog.LevelWarn})), &sb
}

func segmentFile(dir string) string {
	return filepath.Join(dir, "partitions", topic+"-0", "0.dat")
}
