package program

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// emptyKafka is a broker without topics.
func emptyKafka(t *testing.T) *kfake.Cluster {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	return broker
}

// A server that cannot work exits with status 1 and says what to do, before it prints ready.
func TestServersRefuseToStart(t *testing.T) {
	t.Parallel()
	broker := emptyKafka(t)
	empty := &Fleet{t, broker.ListenAddrs()[0], filepath.Join(t.TempDir(), "read-model.db")}
	for _, name := range []string{"api", "worker"} {
		missing := empty.Run(name)
		assert.Equal(t, 1, missing.Status, name)
		assert.Empty(t, missing.Stdout)
		assert.Contains(t, missing.Stderr, "there is no topic")
		assert.Contains(t, missing.Stderr, "sipeat topics")
	}
	absent, silent := dead(t), taken(t)
	for _, c := range []struct{ arguments, brokers, says string }{
		{"api", absent, "no broker answers"}, {"worker", absent, "no broker answers"}, {"topics", absent, "no broker answers"},
		{"publish contact-created", absent, "no broker answers"}, {"tail contact-created", absent, "no broker answers"},
		{"publish contact-created", silent, ""}, {"tail contact-created", silent, ""},
	} {
		t.Run(c.arguments+c.says, func(t *testing.T) {
			t.Parallel()
			alone := Finish(t, set(command(t, strings.Fields(c.arguments)...), "KAFKA_BROKERS="+c.brokers, "STORE="+empty.Store), AContact)
			assert.Equal(t, 1, alone.Status)
			assert.Empty(t, alone.Stdout)
			assert.Contains(t, alone.Stderr, c.brokers)
			assert.Contains(t, alone.Stderr, c.says)
		})
	}
}

// SIGTERM ends a program that waits for a broker that does not answer. Only a command has failed then.
func TestProgramsStopWhileTheyStart(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"api", "--http", "127.0.0.1:0"}, {"worker"}, {"topics"}} {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { silent.Close() })
		f := &Fleet{t, silent.Addr().String(), filepath.Join(t.TempDir(), "read-model.db")}
		s := Start(t, f.command(arguments...))
		conn, err := silent.Accept()
		require.NoError(t, err)
		defer conn.Close()
		s.Signal(syscall.SIGTERM)
		status := 0
		if arguments[0] == "topics" {
			status = 1
		}
		assert.Equal(t, status, s.Wait(), "%v: %s", arguments, s.Stderr)
		assert.Equal(t, status, strings.Count(s.Stderr.String(), "sipeat: interrupted: "), s.Stderr)
		assert.Empty(t, s.Stdout.String())
	}
}

func TestTopicsAreCreatedOnceAndCompared(t *testing.T) {
	t.Parallel()
	broker := emptyKafka(t)
	f := &Fleet{t, broker.ListenAddrs()[0], ""}
	old := map[string]*string{"retention.ms": new("604800000")} // as the TypeScript app had it
	_, err := kadm.NewClient(client(t, f.Brokers)).CreateTopic(t.Context(), 1, 1, old, "contact-created")
	require.NoError(t, err)
	check := f.Run("topics", "--check")
	assert.Equal(t, 1, check.Status)
	assert.Contains(t, check.Stdout, "MISSING")
	made := f.Run("topics")
	assert.Equal(t, 0, made.Status, made.Stderr)
	assert.Regexp(t, `(?m)^machine-created +6 +1 +created$`, made.Stdout)
	assert.Regexp(t, `(?m)^machine-created\.dead-letters +6 +1 +created$`, made.Stdout)
	assert.Regexp(t, `(?m)^contact-created +1 +1 +DIFFERS$`, made.Stdout)

	check = f.Run("topics", "--check", "--json")
	assert.Equal(t, 1, check.Status)
	states := Decoded[[]struct {
		Differences []struct{ Setting, Have, Want, Remedy string }
	}](t, check.Stdout)
	require.Len(t, states, 2*len(events.Catalogue())+1) // with the dead-letter topics and the audit topic
	assert.Regexp(t, `\{partitions 1 6 .+\}.*\{retention.ms 604800000 -1 .+\}`, fmt.Sprint(states))
}

// examined is the output of doctor --json.
type examined struct {
	OK       bool
	Findings []struct{ Part, Subject, Status, Says, Remedy string }
}

// of returns the findings of a part, by subject.
func (e examined) of(part string) map[string]string {
	found := map[string]string{}
	for _, f := range e.Findings {
		if f.Part == part {
			found[f.Subject] = f.Status + ": " + f.Says + " -> " + f.Remedy
		}
	}
	return found
}

// A cluster that advertises an unreachable address is the only fault reported: the checks behind it are skipped.
func TestDoctorNamesAnAdvertisedAddressThatIsUnreachable(t *testing.T) {
	t.Parallel()
	cluster := emptyKafka(t)
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 0, "kafka.invalid", 9092
		answer.Brokers, answer.ClusterID = append(answer.Brokers, broker), new("advertises")
		return answer, nil, true
	})
	f := &Fleet{t, cluster.ListenAddrs()[0], filepath.Join(t.TempDir(), "none.db")}
	assert.Contains(t, f.Run("topics").Stderr, "advertised.listeners")
	got := f.Run("doctor", "--json")
	assert.Equal(t, 1, got.Status)
	report := Decoded[examined](t, got.Stdout)
	brokers := report.of("kafka")
	assert.Contains(t, brokers[f.Brokers], "ok: ")
	for _, text := range []string{"wrong: ", "no such host", "advertised.listeners"} {
		assert.Contains(t, brokers["kafka.invalid:9092"], text)
	}
	for _, part := range []string{"topics", "groups", "dead letters"} {
		assert.Empty(t, report.of(part))
	}
}

// doctor counts dead letters by class and checks the notification channels without sending.
func TestDoctorChecksDeadLettersAndChannels(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.Kafka)
	for range 2 {
		require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Value: []byte("poison")}).FirstErr())
	}
	Handled(t, s.Kafka, "contact-created")
	methods := make(chan string, 9)
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods <- r.Method
		w.WriteHeader(http.StatusNotFound)
	}))
	defer discord.Close()
	doctor := set(s.fleet().command("doctor", "--json"),
		"NOTIFY=log,discord,smtp", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/canary",
		"SMTP_URL=smtp://"+dead(t), "NOTIFY_FROM=a@example.com", "NOTIFY_TO=b@example.com")
	got := Finish(t, doctor, "")
	assert.Equal(t, 1, got.Status, got.Stderr)
	assert.NotContains(t, got.Stdout+got.Stderr, "canary")
	report := Decoded[examined](t, got.Stdout)
	assert.Contains(t, report.of("dead letters")["contact-created"],
		"note: 2 events rejected by sipeat-contact-consumer as undecodable")
	notify := report.of("notify")
	assert.Contains(t, notify["log"], "ok: ")
	assert.Contains(t, notify["discord"], "wrong: Discord answered 404")
	assert.Contains(t, notify["smtp"], "wrong: no connection to the mail server")
	assert.Equal(t, http.MethodGet, <-methods)
	assert.Empty(t, methods)
}

func TestDoctorFindsAServeHealthyAndAnAbsentOneNot(t *testing.T) {
	t.Parallel()
	alone := (&Fleet{t, dead(t), "none.db"}).Run("doctor", "--json")
	assert.Equal(t, 1, alone.Status)
	report := Decoded[examined](t, alone.Stdout)
	assert.False(t, report.OK)
	status := map[string]string{}
	for _, f := range report.Findings {
		status[f.Part] = f.Status
		assert.True(t, f.Status != "wrong" || f.Remedy != "", f.Says)
	}
	assert.Equal(t, map[string]string{"kafka": "wrong", "store": "note", "notify": "ok"}, status)

	s := serve(t, t.TempDir())
	Until(t, func() error { // the consumers are joining
		well := s.fleet().Run("doctor")
		return ErrorUnless(well.Status == 0, well.Stdout)
	})
}
