package kafka_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Workers come and go while events are written. A rebalance finishes what is in hand and commits it, so nothing even
// comes twice.
func TestWorkersJoinAndLeave(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const partitions = 6
		b.create(partitions)
		records, steps := many(partitions, 18, 60)
		d := newDiary(t)
		slowly := func(ctx context.Context, e event) error {
			if e.Data.Seq%7 == 0 {
				time.Sleep(2 * time.Millisecond) // as a database takes
			}
			return d.handler(ctx, e)
		}
		write := func(part int) { b.write(records[part*len(records)/4 : (part+1)*len(records)/4]...) }
		first := b.consume(kafka.Options{}, slowly)
		write(0)
		first.waitFor(partitions)
		second := b.consume(kafka.Options{}, slowly)
		write(1)
		second.waitFor(partitions / 2)
		third := b.consume(kafka.Options{}, slowly)
		write(2)
		third.waitFor(partitions / 3)
		require.NoError(t, first.end())
		write(3)
		require.NoError(t, third.end())
		d.waitFor(steps)
		require.NoError(t, second.end())
		assert.Zero(t, d.repeats)
		assert.Len(t, d.done, len(records))
	})
}

// A rebalance takes a partition from a worker whose handler goes on until it is cancelled. The next one begins with
// that event, and only when that handler is over.
func TestRebalanceAbandonsWhatTakesTooLong(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1))
		d := newDiary(t)
		running := make(chan string, 10)
		first := b.consume(kafka.Options{CloseTimeout: 200 * time.Millisecond}, func(ctx context.Context, e event) error {
			running <- e.Data.ID
			<-ctx.Done()
			return ctx.Err()
		})
		<-running
		<-running
		second := b.consume(kafka.Options{}, d.handler)
		second.waitFor(1)
		require.NoError(t, first.end())
		d.waitFor(map[string]int{"a": 1, "b": 1})
		require.NoError(t, second.end())
	})
}

// helper is what the test binary becomes when it plays a worker that is killed.
const helper = "SIPEAT_TEST_WORKER" // brokers, topic and group

func TestMain(m *testing.M) {
	if what := os.Getenv(helper); what != "" {
		playWorker(strings.Split(what, " "))
	}
	os.Exit(m.Run())
}

func playWorker(what []string) {
	c := bus.NewConsumer(what[2], func(_ context.Context, e event) error {
		fmt.Printf("%s %d\n", e.Data.ID, e.Data.Seq)
		return nil
	})
	c.Topic = what[1]
	o := kafka.Options{CommitInterval: 5 * time.Millisecond, SessionTimeout: 6 * time.Second}
	fmt.Println(kafka.Consume(context.Background(), settings.Kafka{Brokers: []string{what[0]}}, c, o))
	os.Exit(1)
}

// A worker is killed in the middle. Another goes on: nothing is lost or out of order, and what was not committed comes
// again.
func TestWorkerIsKilled(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		records, steps := many(2, 10, 300)
		b.write(records...)
		d := newDiary(t)
		killed := exec.CommandContext(t.Context(), os.Args[0])
		killed.Env = append(os.Environ(), helper+"="+b.Brokers[0]+" "+b.topic+" "+b.group)
		out, err := killed.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, killed.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var s step
			_, err := fmt.Sscan(lines.Text(), &s.ID, &s.Seq)
			require.NoError(t, err, lines.Text())
			d.add(s)
			if n == 1000 {
				require.NoError(t, killed.Process.Kill())
			}
		}
		_ = killed.Wait()
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(steps)
		require.Eventually(t, func() bool { // what the killed one did and did not commit comes again
			return b.committed(0)+b.committed(1) == int64(len(records))
		}, time.Minute, 20*time.Millisecond)
		require.NoError(t, w.end())
		t.Logf("%d of %d events came again", d.repeats, len(records))
	})
}
