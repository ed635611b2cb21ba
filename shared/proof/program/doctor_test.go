package program

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestServersRefuseToStart: exit status 1 and a message that says what to do, before anything says ready.
func TestServersRefuseToStart(t *testing.T) {
	t.Parallel()
	broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	empty := &Fleet{t, broker.Address(), filepath.Join(t.TempDir(), "read-model.db")}
	nobody := &Fleet{t, dead(t), empty.Store}
	for _, name := range []string{"api", "worker"} {
		missing := empty.Run(name)
		assert.Equal(t, 1, missing.Status, name)
		assert.Empty(t, missing.Stdout)
		assert.Contains(t, missing.Stderr, "there is no topic")
		assert.Contains(t, missing.Stderr, "sipeat topics")
	}
	for _, arguments := range [][]string{{"api"}, {"worker"}, {"topics"}, {"topics", "--check"}, {"publish", "contact-created"}, {"tail", "contact-created"}} {
		alone := nobody.Run(arguments...)
		assert.Equal(t, 1, alone.Status, arguments)
		assert.Empty(t, alone.Stdout)
		assert.Contains(t, alone.Stderr, nobody.Brokers)
		assert.Contains(t, alone.Stderr, "no broker answers")
		assert.Less(t, alone.Took, 15*time.Second)
	}
	f := newFleet(t, broker.Address())
	short := command(t, "worker")
	short.Env = append(short.Env, "KAFKA_BROKERS="+f.Brokers, "STORE="+filepath.Join(t.TempDir(), "none", "x.db"))
	folder := Finish(t, short, "")
	assert.Equal(t, 1, folder.Status)
	assert.Contains(t, folder.Stderr, "STORE")
	for says, arguments := range map[string][]string{
		"other machines reach this address": {"api", "--http", "0.0.0.0:0"}, "contact-deleted": {"worker", "--only", "contact-deleted"}, "--replication": {"topics", "--replication", "-1"},
		"no topic given": {"worker", "--only", ""}, // what a variable gives that is not set
	} {
		wrong := f.Run(arguments...)
		assert.Equal(t, 2, wrong.Status, arguments)
		assert.Contains(t, wrong.Stderr, says)
	}
}

// TestServersThatAreEndedWhileTheyStart end in order: at once, whatever they wait for, and with the status of all that do.
func TestServersThatAreEndedWhileTheyStart(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"api", "--http", "127.0.0.1:0"}, {"worker"}} {
		for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { silent.Close() })
			c := command(t, arguments...)
			c.Env = append(c.Env, "KAFKA_BROKERS="+silent.Addr().String(), "STORE="+filepath.Join(t.TempDir(), "read-model.db"))
			s := Start(t, c)
			conn, err := silent.Accept() // it asks who is there, and nobody answers
			require.NoError(t, err)
			defer conn.Close()
			asked := time.Now()
			s.Signal(signal)
			assert.Equal(t, 0, s.Wait(), "%v: %s", arguments, s.Stderr)
			assert.Less(t, time.Since(asked), 3*time.Second, "it waits for no answer any longer")
			assert.Empty(t, s.Stdout.String())
			assert.NotContains(t, s.Stderr.String(), "sipeat: context")
		}
	}
}

func TestTopicsAreMadeOnceAndCompared(t *testing.T) {
	t.Parallel()
	broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	old := map[string]*string{"retention.ms": new("604800000")} // as the TypeScript app had it
	_, err = kadm.NewClient(client(t, broker.Address())).CreateTopic(t.Context(), 1, 1, old, "contact-created")
	require.NoError(t, err)
	f := &Fleet{t, broker.Address(), ""}
	check := f.Run("topics", "--check")
	assert.Equal(t, 1, check.Status)
	assert.Contains(t, check.Stdout, "MISSING")
	all := 2 * len(events.Catalogue()) // with the dead letters
	assert.Contains(t, check.Stderr, fmt.Sprintf("%d of %d", all, all))
	made := f.Run("topics")
	assert.Equal(t, 0, made.Status, made.Stderr)
	assert.Regexp(t, `(?m)^machine-created +6 +1 +unlimited +1048588 +created$`, made.Stdout)
	assert.Regexp(t, `(?m)^machine-created\.dead-letters +6 +1 +unlimited +2097176 +created$`, made.Stdout)
	assert.Regexp(t, `(?m)^contact-created +1 +1 +7 days .*DIFFERS$`, made.Stdout)

	check = f.Run("topics", "--check", "--json")
	assert.Equal(t, 1, check.Status)
	type difference struct{ Setting, Have, Want, Remedy string }
	var states []struct {
		Topic       string
		Differences []difference
	}
	require.NoError(t, json.Unmarshal([]byte(check.Stdout), &states))
	require.Len(t, states, all)
	found := map[string]string{}
	for _, s := range states {
		for _, d := range s.Differences {
			assert.Equal(t, "contact-created", s.Topic)
			assert.NotEmpty(t, d.Remedy)
			found[d.Setting] = d.Have + " for " + d.Want
		}
	}
	assert.Equal(t, "1 for 6", found["partitions"])
	assert.Equal(t, "604800000 for -1", found["retention.ms"])
}

// examined is what doctor says with --json.
type examined struct {
	OK       bool
	Findings []struct {
		Part, Subject, Status, Says, Remedy string
		Classes                             map[string]int
	}
}

// of are the findings of a part, by subject.
func (e examined) of(part string) map[string]string {
	found := map[string]string{}
	for _, f := range e.Findings {
		if f.Part == part {
			found[f.Subject] = f.Status + ": " + f.Says + " -> " + f.Remedy
		}
	}
	return found
}

// TestDoctorNamesAddressesThatLeadNowhere: a cluster that sends its clients to where they cannot go. Nothing else is asked of
// it then, which would only run into the same wall.
func TestDoctorNamesAddressesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host     string
		port     int32
		says     string
		findings int
	}{
		{"kafka.invalid", 9092, "the host name cannot be resolved", 2}, {"127.0.0.1", 1, "no broker answers", 2},
	} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			answer := request.ResponseKind().(*kmsg.MetadataResponse)
			broker := kmsg.NewMetadataResponseBroker()
			broker.NodeID, broker.Host, broker.Port = 0, c.host, c.port
			answer.Brokers, answer.ClusterID = append(answer.Brokers, broker), new("advertises")
			return answer, nil, true
		})
		seed, elsewhere := cluster.ListenAddrs()[0], net.JoinHostPort(c.host, fmt.Sprint(c.port))
		f := &Fleet{t, seed, filepath.Join(t.TempDir(), "none.db")}
		got := f.Run("doctor", "--json")
		assert.Equal(t, 1, got.Status)
		report := Decoded[examined](t, got.Stdout)
		brokers := report.of("kafka")
		require.Len(t, brokers, c.findings, "%v", brokers)
		assert.Contains(t, brokers[seed], "ok: ")
		for _, text := range []string{"wrong: ", "the cluster names this broker", c.says, "advertised.listeners"} {
			assert.Contains(t, brokers[elsewhere], text)
		}
		for _, part := range []string{"settings", "topics", "groups", "dead letters"} {
			assert.Contains(t, report.of(part)[""], "skipped", part)
		}
		assert.Less(t, got.Took, 12*time.Second)
	}
}

// TestDoctorSaysWhyEventsWereRejected, and whether people would be told.
func TestDoctorSaysWhyEventsWereRejected(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.Kafka)
	for range 2 {
		require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Value: []byte("poison")}).FirstErr())
	}
	Handled(t, s.Kafka, Groups["contact-created"], "contact-created")
	asked := make(chan string, 9)
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		w.WriteHeader(http.StatusNotFound)
	}))
	defer discord.Close()
	doctor := command(t, "doctor", "--json")
	doctor.Env = append(doctor.Env, "KAFKA_BROKERS="+s.Kafka, "STORE="+filepath.Join(s.Data, "read-model.db"),
		"NOTIFY=log,discord,smtp", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/canary",
		"SMTP_URL=smtp://"+dead(t), "NOTIFY_FROM=a@example.com", "NOTIFY_TO=b@example.com")
	got := Finish(t, doctor, "")
	assert.Equal(t, 1, got.Status, got.Stderr)
	assert.NotContains(t, got.Stdout+got.Stderr, "canary")
	report := Decoded[examined](t, got.Stdout)
	for _, f := range report.Findings {
		if f.Part == "dead letters" {
			assert.Equal(t, "contact-created.dead-letters", f.Subject)
			assert.Equal(t, "note", f.Status)
			assert.Equal(t, "2 rejected events: 2 undecodable", f.Says)
			assert.Equal(t, map[string]int{"undecodable": 2}, f.Classes)
		}
	}
	notify := report.of("notify")
	assert.Contains(t, notify["log"], "ok: ")
	assert.Contains(t, notify["discord"], "wrong: Discord answered 404: the webhook is gone")
	assert.Contains(t, notify["smtp"], "wrong: no connection to the mail server")
	assert.Equal(t, http.MethodGet, <-asked, "nothing is posted")
	assert.Empty(t, asked)
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	nobody := &Fleet{t, dead(t), "none.db"}
	alone := nobody.Run("doctor", "--json", "--api", "http://"+dead(t))
	assert.Equal(t, 1, alone.Status)
	report := Decoded[examined](t, alone.Stdout)
	assert.False(t, report.OK)
	status := map[string]string{}
	for _, f := range report.Findings {
		status[f.Part] = f.Status
		if f.Status == "wrong" {
			assert.NotEmpty(t, f.Remedy, f.Says)
		}
	}
	assert.Equal(t, map[string]string{
		"kafka": "wrong", "settings": "skipped", "topics": "skipped", "groups": "skipped", "dead letters": "skipped",
		"store": "note", "notify": "ok", "api": "wrong",
	}, status)
	assert.Less(t, alone.Took, 20*time.Second)

	s := serve(t, t.TempDir())
	f := &Fleet{t, s.Kafka, filepath.Join(s.Data, "read-model.db")}
	Until(t, func() error { // the consumers are joining
		well := f.Run("doctor", "--api", s.URL)
		return errorUnless(well.Status == 0, well.Stdout)
	})
	text := f.Run("doctor")
	assert.NotContains(t, text.Stdout, "\x1b", "colours are for terminals")
	assert.Contains(t, text.Stdout, "Stable")
}
