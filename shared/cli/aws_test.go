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

// nowhere is an environment in which nothing says who one is to AWS, and in which nobody asks beyond this machine.
func nowhere(t *testing.T) *app {
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
	return &app{logger: slog.New(slog.DiscardHandler), settings: settings.Settings{
		Store: settings.DynamoDB, Table: "sipeat",
		Brokers: settings.Kafka{Brokers: []string{"127.0.0.1:1"}, Mechanism: settings.AWSMSKIAM},
		Notify:  settings.Notify{Channels: "ses", From: "a@example.com", To: "b@example.com"},
	}}
}

// container is what ECS and EKS have: each answer is a key of its own.
func container(t *testing.T, lasts time.Duration) *atomic.Int64 {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"CONTAINER%d","SecretAccessKey":"secret","Token":"token","Expiration":%q}`,
			asked.Add(1), time.Now().Add(lasts).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL)
	return &asked
}

func profiles(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(text), 0o600))
}

const sipeatProfile = "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = secret\n" +
	"[sipeat]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\nregion = eu-south-2\n"

// signers serves DynamoDB and SES, refuses everything, and notes who signed for which region.
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

func TestServersLookUpWhoTheyAreToAWS(t *testing.T) {
	for name, c := range map[string]struct {
		set         func(*testing.T)
		key, region string
	}{
		"container": {func(t *testing.T) { container(t, time.Hour); t.Setenv("AWS_REGION", "eu-central-1") }, "CONTAINER1", "eu-central-1"},
		"profile":   {func(t *testing.T) { profiles(t, sipeatProfile); t.Setenv("AWS_PROFILE", "sipeat") }, "PROFILE", "eu-south-2"},
		"the default profile, and another region": {func(t *testing.T) { profiles(t, sipeatProfile); t.Setenv("AWS_REGION", "us-west-2") }, "DEFAULT", "us-west-2"},
		"environment before profile": {func(t *testing.T) {
			profiles(t, sipeatProfile)
			t.Setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			t.Setenv("AWS_REGION", "us-west-2")
		}, "ENVIRONMENT", "us-west-2"},
	} {
		t.Run(name, func(t *testing.T) {
			a := nowhere(t)
			signed := signers(t)
			c.set(t)
			_, err := a.openStore(t.Context(), settings.DynamoDB)
			require.ErrorContains(t, err, "STORE=dynamodb")
			assert.Equal(t, c.key+" "+c.region+" dynamodb", signed())

			channels, err := a.openNotifier(t.Context())
			require.NoError(t, err)
			require.Error(t, channels.Notify(t.Context(), notify.Message{ID: "n-1", Type: "contact", Text: "Hello"}))
			assert.Equal(t, c.key+" "+c.region+" ses", signed())

			cluster, err := a.cluster("")
			require.NoError(t, err)
			login, err := cluster.AWSCredentials(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.key, login.AccessKey)
			assert.Equal(t, "secret", login.SecretKey)
		})
	}
}

func TestCredentialsAreKeptUntilTheyEnd(t *testing.T) {
	for _, c := range []struct {
		lasts time.Duration
		keys  []string
	}{
		{time.Hour, []string{"CONTAINER1", "CONTAINER1", "CONTAINER1"}},
		{awsExpiry - time.Second, []string{"CONTAINER2", "CONTAINER3", "CONTAINER4"}}, // the first was asked for at the start
	} {
		a := nowhere(t)
		container(t, c.lasts)
		_, err := a.aws.load(t.Context())
		require.NoError(t, err)
		cluster, err := a.cluster("127.0.0.1:1")
		require.NoError(t, err)
		for _, key := range c.keys {
			login, err := cluster.AWSCredentials(t.Context())
			require.NoError(t, err)
			assert.Equal(t, key, login.AccessKey)
		}
	}
}

// whoNeedsAWS are the three that do.
func whoNeedsAWS(a *app) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"STORE=dynamodb": func(ctx context.Context) error { _, err := a.openStore(ctx, settings.DynamoDB); return err },
		"NOTIFY=ses":     func(ctx context.Context) error { _, err := a.openNotifier(ctx); return err },
		"KAFKA_SASL_MECHANISM=AWS_MSK_IAM": func(ctx context.Context) error {
			cluster, err := a.cluster("")
			_, reached := a.reach(ctx, cluster, kafka.Requirements{})
			return errors.Join(err, reached)
		},
	}
}

func TestWhatIsMissingOfAWSIsSaid(t *testing.T) {
	hangs, end := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, end)
	t.Cleanup(func() { hangs.Close() })
	for name, c := range map[string]struct {
		set  func(*testing.T)
		says []string
		down bool // the settings may be right
	}{
		"nothing is set": {func(*testing.T) {},
			[]string{"no AWS credentials found", "AWS_ACCESS_KEY_ID", `profile "default" (AWS_PROFILE)`, "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS", "EC2", "aws sso login"}, false},
		"no such profile": {func(t *testing.T) { profiles(t, sipeatProfile); t.Setenv("AWS_PROFILE", "sipeet") },
			[]string{`no AWS profile "sipeet"`, "credentials", "aws configure list-profiles"}, false},
		"a profile that stands on one that is not there": {func(t *testing.T) {
			profiles(t, "[sipeat]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = none\n")
			t.Setenv("AWS_PROFILE", "sipeat")
		}, []string{`no AWS profile "none"`}, false},
		"a setting that cannot be read": {func(t *testing.T) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "perhaps")
			t.Setenv("AWS_USE_FIPS_ENDPOINT", "perhaps")
		},
			[]string{"invalid AWS settings", "AWS_USE_FIPS_ENDPOINT", "profile"}, false},
		"the metadata service swallows what is sent": {func(t *testing.T) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+hangs.Addr().String())
		}, []string{"no AWS credentials found", "EC2"}, false},
		"the container's does": {func(t *testing.T) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+hangs.Addr().String())
		}, []string{"temporarily unavailable", "no answer in time", "AWS_CONTAINER_CREDENTIALS"}, true},
		"no token of SSO": {func(t *testing.T) {
			require.NoError(t, os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte("[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = eu-west-1\n"+
				"[sso-session s]\nsso_start_url = https://sso.test\nsso_region = eu-west-1\n"), 0o600))
			t.Setenv("AWS_PROFILE", "sso")
			t.Setenv("HOME", t.TempDir())
		}, []string{"temporarily unavailable", "aws sso login", `"sso"`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := nowhere(t)
			c.set(t)
			t.Setenv("AWS_REGION", "eu-central-1")
			a.aws.timeout = 200 * time.Millisecond
			started := time.Now()
			for who, needs := range whoNeedsAWS(a) {
				err := needs(t.Context())
				require.Error(t, err, who)
				for _, text := range append(c.says, who) {
					assert.ErrorContains(t, err, text)
				}
				assert.NotContains(t, err.Error(), "no AWS region")
				var usage usageError
				assert.Equal(t, !c.down, errors.As(err, &usage), "%s: %v", who, err)
			}
			assert.Less(t, time.Since(started), 5*time.Second)
		})
	}
}

func TestAMissingRegionIsSaidBesideMissingCredentials(t *testing.T) {
	a := nowhere(t)
	_, err := a.openStore(t.Context(), settings.DynamoDB)
	require.ErrorContains(t, err, "no AWS credentials found")
	assert.ErrorContains(t, err, "AWS_REGION=eu-central-1")

	a = nowhere(t)
	container(t, time.Hour)
	_, err = a.openNotifier(t.Context())
	require.ErrorContains(t, err, "no AWS region is set")
	assert.ErrorAs(t, err, new(usageError))
	cluster, err := a.cluster("")
	require.NoError(t, err)
	_, err = cluster.AWSCredentials(t.Context())
	assert.NoError(t, err, "the name of an MSK broker says its region")
}

// Who needs nothing of AWS asks nobody, and a local DynamoDB wants to know nobody.
func TestAWSIsAskedOnlyIfNeeded(t *testing.T) {
	a := nowhere(t)
	asked := container(t, time.Hour)
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	t.Setenv("DYNAMODB_ENDPOINT", s.URL)
	_, local, err := a.dynamoDB(t.Context())
	require.NoError(t, err)
	assert.True(t, local)
	a.settings.Notify.Channels = "log"
	_, err = a.openNotifier(t.Context())
	require.NoError(t, err)
	model, err := a.openStore(t.Context(), filepath.Join(t.TempDir(), "read-model.db"))
	require.NoError(t, err)
	require.NoError(t, model.Close())
	a.settings.Brokers.Mechanism = ""
	cluster, err := a.cluster("")
	require.NoError(t, err)
	_, err = a.reach(t.Context(), cluster, kafka.Requirements{})
	require.Error(t, err)
	assert.Zero(t, asked.Load())

	t.Setenv("DYNAMODB_ENDPOINT", "localhost:8000")
	_, _, err = a.dynamoDB(t.Context())
	assert.ErrorAs(t, err, new(usageError))
}
