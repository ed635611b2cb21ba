package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkRebuild measures `sipeat rebuild`, as a process of its own, from requests on a broker in this process: its rate, and
// the most memory that it had, which must not grow with the number of events. The baseline is a rebuild of a tenth of the
// events. REBUILD_EVENTS is the number of events: 200,000 without it, and 20,000 in DynamoDB, which needs DYNAMODB_ENDPOINT.
//
//	REBUILD_EVENTS=1000000 go test ./shared/proof/bench -run '^$' -bench Rebuild/sqlite -benchtime 1x -timeout 1h
func BenchmarkRebuild(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchRebuild(b, 200_000, func() []string { return []string{"--store", filepath.Join(b.TempDir(), uuid.NewString())} })
	})
	b.Run("dynamodb", func(b *testing.B) {
		if os.Getenv("DYNAMODB_ENDPOINT") == "" {
			b.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000")
		}
		benchRebuild(b, 20_000, func() []string { return []string{"--table", "bench-" + uuid.NewString()} })
	})
}

func benchRebuild(b *testing.B, total int, target func() []string) {
	if n := os.Getenv("REBUILD_EVENTS"); n != "" {
		var err error
		total, err = strconv.Atoi(n)
		require.NoError(b, err)
	}
	small, large := requestTopic(b, total/10), requestTopic(b, total)
	for b.Loop() {
		_, kilobytes := rebuildOnce(b, small, target())
		b.ReportMetric(float64(kilobytes)/1024, "tenth-MB")
		took, kilobytes := rebuildOnce(b, large, target())
		b.ReportMetric(float64(kilobytes)/1024, "MB")
		b.ReportMetric(float64(total)/took.Seconds(), "events/s")
	}
	b.ReportMetric(0, "ns/op") // of both together: meaningless
}

// requestTopic starts a broker with that many requests, and returns its address.
func requestTopic(b *testing.B, total int) string {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(b, err)
	b.Cleanup(broker.Close)
	cluster := settings.Kafka{Brokers: broker.ListenAddrs()}
	_, err = kafka.MakeTopics(b.Context(), cluster, kafka.Topics(events.Catalogue()...)...)
	require.NoError(b, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer client.Close()
	for i := range total {
		e, value := aRequest(b, i)
		client.Produce(b.Context(), &kgo.Record{Topic: e.Topic(), Key: []byte(e.Key()), Value: value}, nil)
	}
	require.NoError(b, client.Flush(b.Context()))
	return cluster.Brokers[0]
}

// aRequest makes one of many different requests, for some hundred drinks in some thousand cities.
func aRequest(b *testing.B, i int) (events.Event[events.RequestCreated], []byte) {
	e, err := events.New(events.RequestCreated{Request: events.Request{
		Name: fmt.Sprintf("Grace Hopper %d", i), Email: fmt.Sprintf("grace%d@example.com", i), Phone: "+1 (212) 555-0142",
		Address: fmt.Sprintf("%d Harbor Way", i), City: fmt.Sprintf("City %d", i%1000), Country: "USA",
		DrinksList: []string{"Espresso", "Mate", fmt.Sprintf("Tea %d", i%100)}[:1+i%3],
	}})
	require.NoError(b, err)
	value, err := e.Encode()
	require.NoError(b, err)
	return e, value
}

// rebuildOnce returns how long a rebuild took and how much memory it had at most, 0 where there is no /proc. The usage that the
// system reports of a child is no less than that of the process which started it.
func rebuildOnce(b *testing.B, brokers string, target []string) (took time.Duration, kilobytes int64) {
	path, err := program.Program()
	require.NoError(b, err)
	var stderr bytes.Buffer
	c := exec.Command(path, append([]string{"rebuild", "--once", "--brokers", brokers}, target...)...)
	c.Dir, c.Env, c.Stderr = b.TempDir(), program.CleanEnvironment(), &stderr
	began := time.Now()
	require.NoError(b, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(b, err, stderr.String())
			return time.Since(began), kilobytes
		case <-time.After(20 * time.Millisecond):
			kilobytes = max(kilobytes, peak(c.Process.Pid))
		}
	}
}

// peak is the most memory, in kilobytes, that a process has had.
func peak(pid int) (kilobytes int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, size, _ := strings.Cut(string(status), "VmHWM:")
	_, _ = fmt.Sscan(size, &kilobytes)
	return kilobytes
}
