// Package bench has the benchmarks that need more than one package, each beside a baseline in the same run.
package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bareEnv turns the test binary into one of the baseline servers: KIND|FOLDER.
const bareEnv = "PROOF_BARE"

// TestMain runs the tests, or such a server until it is killed.
func TestMain(m *testing.M) {
	if kind, data, server := strings.Cut(os.Getenv(bareEnv), "|"); server {
		fmt.Fprintln(os.Stderr, listen(kind, data))
		os.Exit(1)
	}
	program.Main(m)
}

func listen(kind, data string) error {
	if kind == "own" {
		return listenOwn(data)
	}
	cluster := settings.Kafka{Brokers: strings.Split(os.Getenv("KAFKA_BROKERS"), ",")}
	if cluster.Brokers[0] == "" {
		broker, err := local.Open(context.Background(), local.Options{Dir: filepath.Join(data, "kafka"), Address: "127.0.0.1:0"})
		if err != nil {
			return err
		}
		cluster.Brokers = []string{broker.Address()}
	}
	topics := append(kafka.Topics(events.Catalogue()...), kafka.Topic{Name: bareTopic, Partitions: 6})
	if _, err := kafka.MakeTopics(context.Background(), cluster, topics...); err != nil {
		return err
	}
	handler, err := http.NotFoundHandler(), error(nil) // of kind broker
	switch kind {
	case "bare":
		handler, err = bareHandler(cluster.Brokers)
	case "api":
		handler, err = apiAlone(cluster)
	case "hand", "all":
		handler, err = handWritten(cluster, data, kind == "all")
	}
	if err != nil {
		return err
	}
	return serveHTTP(handler, strings.Join(cluster.Brokers, ","))
}

func serveHTTP(handler http.Handler, brokers string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "ready http=http://%s kafka=%s\n", listener.Addr(), brokers)
	return http.Serve(listener, handler)
}

// bareTopic has no events: other programs that use the same brokers would reject what bareHandler writes.
const bareTopic = "bare"

// bareHandler is the hand-written baseline that only passes contacts on: it decodes the same JSON by the same library
// into the same struct, and produces with the same guarantees. Its keys are spread over the partitions like ours:
// records of one partition share a batch, which the broker syncs to the disk once.
func bareHandler(brokers []string) (http.Handler, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DefaultProduceTopic(bareTopic))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /contacts", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var contact events.Contact
		if err := json.Unmarshal(body, &contact); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := client.ProduceSync(r.Context(), kgo.KeySliceRecord([]byte(uuid.NewString()), body)).FirstErr(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return mux, nil
}

// apiAlone is the writing side of serve, request log included, without consumers and read model.
func apiAlone(cluster settings.Kafka) (http.Handler, error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	publisher, err := kafka.NewPublisher(cluster, logger)
	if err != nil {
		return nil, err
	}
	return web.Router(commands.Commands{Publisher: publisher}.Functions(), web.Options{Logger: logger}), nil
}
