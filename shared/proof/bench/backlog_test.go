package bench

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkBacklog measures how fast a consumer works off a backlog of requests, into SQLite: a kafka.Member with the whole of
// OnRequestCreated (project, and publish the derived notification) beside a hand-written pipeline that, for each poll, inserts
// all requests in one transaction, produces their notifications at once and commits the offsets; and the same without
// notifications. The broker is an embedded one in a process of its own, or that of KAFKA_BROKERS. Figures are medians of
// rounds; the ratios are those of the rounds.
//
//	go test ./shared/proof/bench -run '^$' -bench Backlog -benchtime 5x
func BenchmarkBacklog(b *testing.B) {
	const total = 30_000
	cluster := brokerAlone(b)
	topic := fillTopic(b, cluster, 6, total)
	var hand, ours [2][]float64
	for b.Loop() {
		for i, react := range []bool{true, false} {
			hand[i] = append(hand[i], perSecond(total, func() { pipeline(b, cluster, topic, total, react) }))
			ours[i] = append(ours[i], perSecond(total, func() { consumeRequests(b, cluster, topic, total, react) }))
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, what := range []string{"", "projection-"} {
		b.ReportMetric(median(hand[i]), what+"hand-requests/s")
		b.ReportMetric(median(ours[i]), what+"worker-requests/s")
		b.ReportMetric(median(ratios(ours[i], hand[i])), what+"ratio")
	}
}

func perSecond(total int, run func()) float64 {
	began := time.Now()
	run()
	return float64(total) / time.Since(began).Seconds()
}

// brokerAlone is KAFKA_BROKERS, or an embedded broker in a process of its own.
func brokerAlone(b *testing.B) settings.Kafka {
	b.Helper()
	if brokers := os.Getenv("KAFKA_BROKERS"); brokers != "" {
		return settings.Kafka{Brokers: strings.Split(brokers, ",")}
	}
	c := exec.Command(os.Args[0])
	c.Env = append(program.CleanEnvironment(), bareEnv+"=broker|"+b.TempDir())
	p := &program.Serving{Process: program.Start(b, c)}
	p.Ready()
	return settings.Kafka{Brokers: []string{p.Kafka}}
}

// consumeRequests runs OnRequestCreated over the topic, in a new group and a new file.
func consumeRequests(b *testing.B, cluster settings.Kafka, topic string, total int, react bool) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	model, err := sqlite.Open(ctx, filepath.Join(b.TempDir(), uuid.NewString()))
	require.NoError(b, err)
	defer model.Close()
	logger := slog.New(slog.DiscardHandler)
	publisher, err := kafka.NewPublisher(cluster, logger)
	require.NoError(b, err)
	defer publisher.Close(context.Background())
	functions := consumers.Consumers{Store: consumers.Projected(model), Publisher: publisher}.Functions()
	f := functions[slices.IndexFunc(functions, func(f consumers.Function) bool { return f.Name == "request-created" })]
	c := f.Replay
	if react {
		c = f.Consumer
	}
	c.Topic, c.Group = topic, "bench-"+uuid.NewString()
	var done atomic.Int64
	member := kafka.NewMember(cluster, c, kafka.Options{Logger: logger, Advance: model.Advance,
		Delivery: bus.Options{Report: func(r bus.Report) {
			if r.Outcome == bus.Done && done.Add(1) == int64(total) {
				cancel()
			}
		}}})
	require.NoError(b, member.Run(ctx))
	require.EqualValues(b, total, done.Load())
}

// pipeline is the same by hand.
func pipeline(b *testing.B, cluster settings.Kafka, topic string, total int, react bool) {
	path := filepath.Join(b.TempDir(), uuid.NewString())
	model, err := sqlite.Open(b.Context(), path) // makes the tables
	require.NoError(b, err)
	require.NoError(b, model.Close())
	const pragmas = "?_pragma=synchronous(full)&_pragma=cache_size(-32768)&_pragma=wal_autocheckpoint(4000)"
	db, err := sql.Open("sqlite", "file:"+path+pragmas)
	require.NoError(b, err)
	defer db.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("bench-"+uuid.NewString()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.FetchMaxBytes(8<<20), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer client.Close()
	ctx := b.Context()
	for left := total; left > 0; {
		fetches := client.PollFetches(ctx)
		require.NoError(b, fetches.Err())
		transaction, err := db.BeginTx(ctx, nil)
		require.NoError(b, err)
		insert, err := transaction.Prepare(`INSERT INTO items (type, id, event, created, digest, data, city, country)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (type, id) DO NOTHING`)
		require.NoError(b, err)
		count, err := transaction.Prepare(`INSERT INTO demand (country, city, drink, shown_country, shown_city, shown_drink, count)
			VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1`)
		require.NoError(b, err)
		var notifications []*kgo.Record
		for r := range fetches.RecordsAll() {
			e, err := events.Decode[events.RequestCreated](r.Value)
			require.NoError(b, err)
			data, err := events.EncodePayload(e.Data)
			require.NoError(b, err)
			digest := e.Digest()
			country, city := store.Fold(e.Data.Country), store.Fold(e.Data.City)
			_, err = insert.Exec(e.Type, e.ResourceID(), e.ID, e.Metadata.Timestamp.Time().UnixMilli(), digest[:], string(data),
				city, country)
			require.NoError(b, err)
			for _, drink := range e.Data.DrinksList {
				_, err := count.Exec(country, city, store.Fold(drink), e.Data.Country, e.Data.City, drink)
				require.NoError(b, err)
			}
			left--
			if !react {
				continue
			}
			n, err := events.New(events.Notification{Notice: events.Notice{
				Type: "request", Message: "New request: " + e.Data.Name, SubjectID: e.ResourceID(),
			}}, events.CausedBy(e, "notification"))
			require.NoError(b, err)
			value, err := n.Encode()
			require.NoError(b, err)
			notifications = append(notifications, &kgo.Record{Topic: n.Topic(), Key: []byte(n.Key()), Value: value})
		}
		require.NoError(b, transaction.Commit())
		require.NoError(b, client.ProduceSync(ctx, notifications...).FirstErr())
		require.NoError(b, client.CommitRecords(ctx, fetches.Records()...))
	}
}
