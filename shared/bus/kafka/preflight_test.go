package kafka_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// soon is how long a preflight may take.
const soon = 15 * time.Second

// cluster is a fake one.
func cluster(t *testing.T, options ...kfake.Opt) settings.Kafka {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "there")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return settings.Kafka{Brokers: c.ListenAddrs()}
}

func preflight(t *testing.T, c settings.Kafka, n kafka.Requirements) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	_, err := kafka.Preflight(ctx, c, slog.New(slog.DiscardHandler), n)
	require.NoError(t, ctx.Err())
	return err
}

// explains checks that an error names the fault and the remedy, but no secret.
func explains(t *testing.T, err error, texts ...string) {
	t.Helper()
	require.Error(t, err)
	for _, text := range texts {
		assert.ErrorContains(t, err, text)
	}
	assert.NotContains(t, err.Error(), "s3cret")
}

func withLogin(c settings.Kafka, mechanism, user, password string) settings.Kafka {
	c.Mechanism, c.Username, c.Password = mechanism, user, password
	return c
}

// certificate is that of a broker on this machine, and the file of the authority that signed it.
func certificate(t *testing.T) (*tls.Config, string) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return &tls.Config{Certificates: s.TLS.Certificates}, file
}

func TestPreflightByEachMechanism(t *testing.T) {
	t.Parallel()
	encryption, ca := certificate(t)
	for _, m := range []string{settings.Plain, settings.ScramSHA256, settings.ScramSHA512} {
		for _, encrypted := range []bool{false, true} {
			options := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(m, "ada", "s3cret")}
			if encrypted {
				options = append(options, kfake.TLS(encryption))
			}
			c := withLogin(cluster(t, options...), m, "ada", "s3cret")
			if encrypted {
				c.TLS, c.CAFile = true, ca
			}
			require.NoError(t, preflight(t, c, kafka.Requirements{Read: []string{"there"}}),
				"%s, TLS %v", m, encrypted)
			explains(t, preflight(t, withLogin(c, m, "ada", "wrong"), kafka.Requirements{}), `"ada"`, "password",
				"KAFKA_SASL_PASSWORD")
			explains(t, preflight(t, withLogin(c, m, "bob", "s3cret"), kafka.Requirements{}), `"bob"`, "no such user",
				"KAFKA_SASL_USERNAME")
		}
	}
}

func TestPreflightNamesTheStageOfAFault(t *testing.T) {
	t.Parallel()
	encryption, _ := certificate(t)
	open := cluster(t)
	login := cluster(t, kfake.EnableSASL(), kfake.Superuser(settings.ScramSHA512, "ada", "s3cret"))
	encrypted := cluster(t, kfake.TLS(encryption))
	encrypt := func(c settings.Kafka) settings.Kafka {
		c.TLS = true
		return c
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, c := range map[string]struct {
		cluster settings.Kafka
		says    []string
	}{
		"no listener": {settings.Kafka{Brokers: []string{gone.Addr().String()}}, []string{gone.Addr().String(),
			"no broker answers", "KAFKA_BROKERS"}},
		"no such name": {settings.Kafka{Brokers: []string{"kafka.invalid:9092"}}, []string{"kafka.invalid",
			"no such host", "KAFKA_BROKERS"}},
		"no answer": {settings.Kafka{Brokers: []string{silent.Addr().String()}}, []string{"deadline exceeded", "overloaded"}},
		"a web server": {settings.Kafka{Brokers: []string{strings.TrimPrefix(web.URL, "http://")}},
			[]string{"no broker answers"}},
		"plain to a TLS port": {encrypted, []string{"this port speaks TLS", "KAFKA_TLS=true"}},
		"TLS to a plain port": {encrypt(settings.Kafka{Brokers: []string{strings.TrimPrefix(web.URL, "http://")}}),
			[]string{"without TLS", "KAFKA_TLS"}},
		"an unknown authority":   {encrypt(encrypted), []string{"certificate", "unknown authority", "KAFKA_TLS_CA_FILE"}},
		"no login":               {login, []string{"requires a login", "KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"}},
		"an AWS login elsewhere": {withLogin(login, settings.AWSMSKIAM, "", ""), []string{"AWS_MSK_IAM", "offer the mechanism"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explains(t, preflight(t, c.cluster, kafka.Requirements{}), c.says...)
		})
	}
	t.Run("one broker of three", func(t *testing.T) {
		t.Parallel()
		some := settings.Kafka{Brokers: []string{silent.Addr().String(), open.Brokers[0], gone.Addr().String()}}
		usable, err := kafka.Preflight(t.Context(), some, slog.New(slog.DiscardHandler),
			kafka.Requirements{Read: []string{"there"}})
		require.NoError(t, err)
		assert.Equal(t, open.Brokers, usable.Brokers) // a client that tries the silent broker first gets no answer for 10 s
	})
}

func TestPreflightNamesMissingTopicsAndRights(t *testing.T) {
	t.Parallel()
	topic := func(name string, operation kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: operation, Allow: true}
	}
	group := kfake.ACL{Resource: kmsg.ACLResourceTypeGroup, Name: "mine", Pattern: kmsg.ACLResourcePatternTypeLiteral,
		Operation: kmsg.ACLOperationRead, Allow: true}
	c := withLogin(cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "seen", "hidden"),
		kfake.Superuser(settings.Plain, "root", "s3cret"),
		kfake.User(settings.Plain, "ada", "s3cret", topic("there", kmsg.ACLOperationRead), topic("seen",
			kmsg.ACLOperationDescribe), topic("lost", kmsg.ACLOperationDescribe), group)),
		settings.Plain, "ada", "s3cret")
	require.NoError(t, preflight(t, c, kafka.Requirements{Read: []string{"there"}}))
	explains(t, preflight(t, c, kafka.Requirements{Read: []string{"seen", "lost"}, Write: []string{"there", "hidden"}}),
		`"ada" lacks the right Read on topic seen`, "--operation Read --topic seen",
		"no topic lost",
		`"ada" lacks the right Write on topic there`, "--operation Write --topic there",
		`"ada" lacks the right Describe on topic hidden`)
	consumer := bus.NewConsumer("others", newDiary(t).handler)
	consumer.Topic = "there"
	explains(t, kafka.NewMember(c, consumer, kafka.Options{Logger: discard}).Run(t.Context()),
		`"ada" lacks the right Read on group others`, "--group others")
	_, err := kafka.Groups(t.Context(), c, map[string]string{"others": "there"})
	explains(t, err, `"ada" lacks the right Describe on group others`)
	explains(t, preflight(t, withLogin(c, settings.Plain, "root", "s3cret"),
		kafka.Requirements{Write: []string{"contact-created.dead-letters"}}),
		"no topic contact-created.dead-letters", "sipeat topics")
	_, err = kafka.MakeTopics(t.Context(), c, kafka.Topic{Name: "new", Partitions: 1})
	explains(t, err, `"ada" lacks the right Create on topic new`, "--operation Create")
	_, err = kafka.InspectTopics(t.Context(), c, kafka.Topic{Name: "hidden", Partitions: 1})
	explains(t, err, `"ada" lacks the right Describe on topic hidden`)
}

// A client that may create topics but not see them does not wait for them.
func TestMakeTopicsWithoutTheRightToSeeThem(t *testing.T) {
	t.Parallel()
	right := func(operation kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "new", Pattern: kmsg.ACLResourcePatternTypePrefixed,
			Operation: operation, Allow: true}
	}
	c := cluster(t, kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User(settings.Plain, "creates", "s3cret", right(kmsg.ACLOperationCreate)),
		kfake.User(settings.Plain, "sees", "s3cret", right(kmsg.ACLOperationCreate), right(kmsg.ACLOperationDescribe)),
		kfake.User(settings.Plain, "looks", "s3cret", right(kmsg.ACLOperationCreate), right(kmsg.ACLOperationDescribe),
			right(kmsg.ACLOperationDescribeConfigs)))
	topic := kafka.Topic{Name: "new", Partitions: 1}
	_, err := kafka.MakeTopics(t.Context(), withLogin(c, settings.Plain, "creates", "s3cret"), topic)
	explains(t, err, `"creates" lacks the right Describe on topic new`, "--operation Describe --topic new")
	_, err = kafka.MakeTopics(t.Context(), withLogin(c, settings.Plain, "sees", "s3cret"), topic)
	explains(t, err, `"sees" lacks the right DescribeConfigs on topic new`, "--operation DescribeConfigs")
	states, err := kafka.MakeTopics(t.Context(), withLogin(c, settings.Plain, "looks", "s3cret"), topic,
		kafka.Topic{Name: "newer", Partitions: 1})
	require.NoError(t, err)
	assert.True(t, states[0].Exists && !states[0].Created && states[1].Created)
}

// A broker that is down does not lower a topic's replication or its replication settings.
func TestHigherReplicationIsNoDifference(t *testing.T) {
	for _, wanted := range []int{1, 2, 3} {
		assert.Empty(t, kafka.Compare(3, "2", wanted), wanted)
	}
	assert.Equal(t, "replication", kafka.Compare(1, "1", 2)[0].Setting)
}

// Credentials are fetched for each login.
func TestMSKLoginUsesCurrentCredentials(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	t.Setenv("AWS_SESSION_TOKEN", "token-env")
	said := kafka.FirstMessage(t, settings.Kafka{Mechanism: settings.AWSMSKIAM})
	var signed map[string]string
	require.NoError(t, json.Unmarshal(said, &signed), "%s", said)
	assert.Contains(t, signed["x-amz-credential"], "AKIDENV/")
	assert.Contains(t, signed["x-amz-credential"], "/eu-central-1/kafka-cluster/")
	assert.Equal(t, "token-env", signed["x-amz-security-token"])
	assert.NotContains(t, string(said), "s3cret")

	said = kafka.FirstMessage(t, settings.Kafka{Mechanism: settings.AWSMSKIAM,
		AWSCredentials: func(context.Context) (settings.AWSCredentials, error) {
			return settings.AWSCredentials{AccessKey: "AKIDSDK", SecretKey: "s3cret"}, nil
		}})
	assert.Contains(t, string(said), "AKIDSDK/")
	assert.NotContains(t, string(said), "token-env")
}
