package bus_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/require"
)

// BenchmarkDeliver sets the engine beside a loop that one would write by hand: a goroutine per partition, the same
// decoder, the same handler that does nothing, one event after the other. Both run in turn on the same records; "ratio"
// is the engine's speed by the loop's, "cpu-ratio" the loop's processor time by the engine's. The events are of all four types, one to a partition, with a key for each thing
// as in real life ("things") or 16 keys in all ("hot").
//
//	go test ./shared/bus -run '^$' -bench Deliver -cpu 2
func BenchmarkDeliver(b *testing.B) {
	for _, keys := range []string{"things", "hot"} {
		for _, partitions := range []int{1, 4, 6} {
			b.Run(fmt.Sprintf("keys=%s/partitions=%d", keys, partitions), func(b *testing.B) {
				benchmarkDeliver(b, keys == "hot", partitions)
			})
		}
	}
}

const benchBatch, benchBatches = 500, 40

// contenders are the two ways to deliver the batches of one partition of one type.
type contenders struct {
	byHand, byEngine func(partition int32, batches [][]bus.Record)
}

func contendersOf[T events.Payload](b *testing.B) contenders {
	nothing := func(context.Context, events.Event[T]) error { return nil }
	return contenders{
		byHand: func(_ int32, batches [][]bus.Record) {
			for _, batch := range batches {
				for i := range batch {
					e, err := events.Decode[T](batch[i].Value)
					if err != nil || nothing(b.Context(), e) != nil {
						b.Error(err)
					}
				}
			}
		},
		byEngine: func(partition int32, batches [][]bus.Record) {
			room := make(chan struct{}, 1)
			p := bus.NewEngine(bus.NewConsumer("bench", nothing), nil, bus.Options{}).
				Open(partition, func() { room <- struct{}{} })
			for _, batch := range batches {
				p.Deliver(batch)
				for p.Full() {
					<-room
				}
			}
			if err := p.Wait(b.Context()); err != nil {
				b.Error(err)
			}
			if err := p.Close(b.Context()); err != nil {
				b.Error(err)
			}
		},
	}
}

func benchmarkDeliver(b *testing.B, hot bool, partitions int) {
	types := []contenders{contendersOf[events.RequestCreated](b), contendersOf[events.ContactCreated](b),
		contendersOf[events.MachineCreated](b), contendersOf[events.Notification](b)}
	catalogue := []string{"request-created", "contact-created", "machine-created", "notification"}
	records := make([][]bus.Record, partitions)
	for p := range records {
		records[p] = benchRecords(b, catalogue[p%4], hot)
	}
	run := func(m *measure, way func(contenders) func(int32, [][]bus.Record)) {
		batches := make([][][]bus.Record, partitions)
		for p := range batches {
			for n := range benchBatches { // the engine keeps what it is given
				batches[p] = append(batches[p], append([]bus.Record(nil), records[p][n*benchBatch:(n+1)*benchBatch]...))
			}
		}
		m.start()
		var running sync.WaitGroup
		for p := range batches {
			running.Go(func() { way(types[p%4])(int32(p), batches[p]) })
		}
		running.Wait()
		m.stop()
	}
	var byHand, byEngine measure
	for b.Loop() {
		run(&byHand, func(c contenders) func(int32, [][]bus.Record) { return c.byHand })
		run(&byEngine, func(c contenders) func(int32, [][]bus.Record) { return c.byEngine })
	}
	n := float64(partitions * benchBatch * benchBatches)
	b.ReportMetric(0, "ns/op") // of both together: says nothing
	b.ReportMetric(float64(byHand.best)/n, "loop-ns/event")
	b.ReportMetric(float64(byEngine.best)/n, "engine-ns/event")
	b.ReportMetric(float64(byHand.best)/float64(byEngine.best), "ratio")
	b.ReportMetric(float64(byHand.cpu)/float64(byEngine.cpu), "cpu-ratio")
}

// measure is the best time and the sum of the processor time of several runs: on a machine that others use, the first
// says more than a mean does, and the second hardly depends on them.
type measure struct {
	best, cpu time.Duration
	began     time.Time
	beganCPU  time.Duration
}

func (m *measure) start() {
	runtime.GC()
	m.began, m.beganCPU = time.Now(), cpuTime()
}

func (m *measure) stop() {
	took := time.Since(m.began)
	m.cpu += cpuTime() - m.beganCPU
	if m.best == 0 || took < m.best {
		m.best = took
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchRecords(b *testing.B, topic string, hot bool) []bus.Record {
	b.Helper()
	d, ok := events.Lookup(topic)
	require.True(b, ok)
	sample, err := d.Sample()
	require.NoError(b, err)
	made, err := d.Decode(sample)
	require.NoError(b, err)
	records := make([]bus.Record, benchBatch*benchBatches)
	for i := range records {
		key := fmt.Sprintf("0198f1c4-5b6b-7081-b2c3-%012d", i)
		if hot {
			key = fmt.Sprintf("0198f1c4-5b6b-7081-b2c3-%012d", i%16)
		}
		records[i] = bus.Record{
			Topic: topic, Offset: int64(i), Timestamp: time.Now(), Key: []byte(key),
			Value: []byte(strings.ReplaceAll(string(sample), made.Key(), key)),
		}
	}
	return records
}
