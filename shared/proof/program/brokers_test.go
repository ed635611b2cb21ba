package program

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/require"
)

var groupsOfKafka sync.Mutex

// eachBroker runs a test on the embedded broker and on Apache Kafka.
func eachBroker(t *testing.T, test func(*testing.T, *kafkaSide)) {
	scripts := os.Getenv("KAFKAJS")
	if scripts == "" {
		t.Skip("set KAFKAJS to the folder shared/proof/program/kafkajs, after `npm ci` there, to run this with kafkajs")
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		broker := embedded(t, data)
		test(t, &kafkaSide{t, scripts, broker.Address(), func() *Serving {
			require.NoError(t, broker.Close())
			return serve(t, data)
		}})
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("set KAFKA_BROKERS=host:port to the brokers of a Kafka that may be written to")
		}
		groupsOfKafka.Lock() // each test is the only member of the consumer groups
		t.Cleanup(groupsOfKafka.Unlock)
		cluster := settings.Kafka{Brokers: strings.Split(brokers, ",")}
		_, err := kafka.MakeTopics(Within(t), cluster, 0, kafka.Topics(events.Catalogue()...)...)
		require.NoError(t, err)
		test(t, &kafkaSide{t, scripts, brokers, func() *Serving { return host(t, cluster) }})
	})
}

// embedded is serve's broker without serve, on the folder that serve would have it on.
func embedded(t testing.TB, data string) *local.Broker {
	t.Helper()
	b, err := local.Open(t.Context(), local.Options{Dir: filepath.Join(data, "kafka"), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	require.NoError(t, makeTopics(t.Context(), b))
	return b
}

// makeTopics creates the topics of the catalogue.
func makeTopics(ctx context.Context, b *local.Broker) error {
	_, err := kafka.MakeTopics(ctx, settings.Kafka{Brokers: []string{b.Address()}}, 1, kafka.Topics(events.Catalogue()...)...)
	return err
}

// host is what serve hosts, on a Kafka of others': the functions, in this process.
func host(t *testing.T, cluster settings.Kafka) *Serving {
	t.Helper()
	said := &Transcript{}
	logger := slog.New(slog.NewJSONHandler(said, nil))
	readModel, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read-model.db"))
	require.NoError(t, err)
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"))
	require.NoError(t, err)
	publisher, err := kafka.NewPublisher(cluster, logger)
	require.NoError(t, err)

	ctx, stop := context.WithCancel(context.Background())
	running := consumers.Consumers{
		Publisher: publisher, Notifier: notify.Log{Logger: logger}, Store: readModel, Claims: claims, AnnouncedBy: []string{"sipeat-app"},
	}.Functions()
	ended := make(chan error, len(running))
	for _, f := range running {
		go func() { ended <- kafka.Consume(ctx, cluster, f.Consumer, kafka.Options{Logger: logger}) }()
	}
	api := httptest.NewServer(web.Router(
		append(commands.Commands{Publisher: publisher}.Functions(), queries.Queries{Store: readModel, Claims: claims}.Functions()...),
		web.Log(logger), web.Open()))
	t.Cleanup(func() {
		api.Close()
		stop()
		for range running {
			require.NoError(t, <-ended)
		}
		require.NoError(t, publisher.Close(context.Background()))
		require.NoError(t, readModel.Close())
		require.NoError(t, claims.Close())
		if t.Failed() {
			t.Log(shortened(said.String(), 20))
		}
	})
	return &Serving{
		Process: &Process{T: t, Stdout: &Transcript{}, Stderr: said},
		URL:     api.URL, Kafka: strings.Join(cluster.Brokers, ","),
	}
}
