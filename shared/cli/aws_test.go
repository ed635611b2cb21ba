package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
)

// withoutAWS returns an app that needs AWS three times, in an environment without AWS settings.
func withoutAWS(t *testing.T) *app {
	t.Helper()
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("DYNAMODB_ENDPOINT", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	a := &app{logger: slog.New(slog.DiscardHandler), aws: awsAccess{timeout: 10 * time.Second}, settings: settings.Settings{
		Store: settings.DynamoDB, Table: "sipeat",
		Notify: settings.Notify{Channels: "ses", From: "a@example.com", To: "b@example.com"},
	}}
	a.cluster = settings.Kafka{Brokers: []string{"127.0.0.1:1"}, Mechanism: settings.AWSMSKIAM, AWSCredentials: a.aws.login}
	return a
}

// container serves credentials as ECS and EKS do: each answer is another key.
func container(t *testing.T) *atomic.Int64 {
	t.Helper()
	var answers atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"CONTAINER%d","SecretAccessKey":"secret","Token":"token","Expiration":%q}`,
			answers.Add(1), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL)
	return &answers
}

func profiles(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(text), 0o600))
}

const sipeatProfile = "[sipeat]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\nregion = eu-south-2\n"

// signers serves DynamoDB and SES, refuses everything, and returns the key, region and service of the last request.
func signers(t *testing.T) func() string {
	t.Helper()
	var last atomic.Pointer[string]
	credential := regexp.MustCompile(`Credential=([^/]+)/\d+/([^/]+)/([^/]+)/`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := strings.Join(credential.FindStringSubmatch(r.Header.Get("Authorization"))[1:], " ")
		last.Store(&by)
		w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", s.URL)
	t.Setenv("AWS_ENDPOINT_URL_SESV2", s.URL)
	return func() string { return *last.Load() }
}

func TestCredentialsAndRegionAreFoundAsByAWSTools(t *testing.T) {
	for name, c := range map[string]struct {
		set         func(*testing.T)
		key, region string
	}{
		"container": {func(t *testing.T) {
			container(t)
			t.Setenv("AWS_REGION", "eu-central-1")
		}, "CONTAINER1", "eu-central-1"},
		"profile": {func(t *testing.T) { t.Setenv("AWS_PROFILE", "sipeat") }, "PROFILE", "eu-south-2"},
		"environment before profile": {func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			t.Setenv("AWS_REGION", "us-west-2")
		}, "ENVIRONMENT", "us-west-2"},
	} {
		t.Run(name, func(t *testing.T) {
			a := withoutAWS(t)
			signed := signers(t)
			profiles(t, sipeatProfile)
			c.set(t)
			_, err := a.openStore(t.Context(), settings.DynamoDB)
			require.ErrorContains(t, err, "STORE=dynamodb")
			assert.Equal(t, c.key+" "+c.region+" dynamodb", signed())

			channels, err := a.openNotifier(t.Context())
			require.NoError(t, err)
			require.Error(t, channels[0].Notify(t.Context(), notify.Message{ID: "n-1", Type: "contact", Text: "Hello"}))
			assert.Equal(t, c.key+" "+c.region+" ses", signed())

			login, err := a.cluster.AWSCredentials(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.key, login.AccessKey)
		})
	}
}

// uses are the three uses of AWS.
func uses(a *app) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"STORE=dynamodb": func(ctx context.Context) error { _, err := a.openStore(ctx, settings.DynamoDB); return err },
		"NOTIFY=ses":     func(ctx context.Context) error { _, err := a.openNotifier(ctx); return err },
		"KAFKA_SASL_MECHANISM=AWS_MSK_IAM": func(ctx context.Context) error {
			return a.reach(ctx, kafka.Requirements{})
		},
	}
}

func TestWrongSettingsOfAWSAreUsageErrorsAndMissingCredentialsAreNot(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	for name, c := range map[string]struct {
		set   func(*testing.T)
		text  string
		usage bool
	}{
		"nothing is set":     {func(*testing.T) {}, "no AWS credentials: ", false},
		"no such profile":    {func(t *testing.T) { t.Setenv("AWS_PROFILE", "sipeet") }, "sipeet; check AWS_PROFILE", true},
		"unreadable setting": {func(t *testing.T) { t.Setenv("AWS_USE_FIPS_ENDPOINT", "perhaps") }, "AWS_USE_FIPS_ENDPOINT", true},
		"silent metadata service of EC2": {func(t *testing.T) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+silent.Addr().String())
		}, "no AWS credentials: ", false},
		"silent metadata service of a container": {func(t *testing.T) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+silent.Addr().String())
		}, "no AWS credentials: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := withoutAWS(t)
			c.set(t)
			t.Setenv("AWS_REGION", "eu-central-1")
			a.aws.timeout = 200 * time.Millisecond
			for setting, use := range uses(a) {
				err := use(t.Context())
				require.ErrorContains(t, err, c.text)
				assert.ErrorContains(t, err, setting)
				assert.Equal(t, c.usage, errors.As(err, new(usageError)), "%s: %v", setting, err)
			}
		})
	}
}

func TestRegionIsRequiredByServicesButNotByMSK(t *testing.T) {
	a := withoutAWS(t)
	container(t)
	_, err := a.openNotifier(t.Context())
	require.ErrorContains(t, err, "no AWS region is set")
	assert.ErrorAs(t, err, new(usageError))
	_, err = a.cluster.AWSCredentials(t.Context())
	assert.NoError(t, err, "the name of an MSK broker contains its region")
}

func TestCredentialsAreLookedUpOnlyIfNeeded(t *testing.T) {
	a := withoutAWS(t)
	lookups := container(t)
	t.Setenv("DYNAMODB_ENDPOINT", "http://127.0.0.1:1")
	_, local, err := a.dynamoDB(t.Context())
	require.NoError(t, err)
	assert.True(t, local)
	a.settings.Notify.Channels = "log"
	_, err = a.openNotifier(t.Context())
	require.NoError(t, err)
	a.cluster.Mechanism = ""
	require.Error(t, a.reach(t.Context(), kafka.Requirements{}))
	assert.Zero(t, lookups.Load())
}
