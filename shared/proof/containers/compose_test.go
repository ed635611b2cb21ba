package containers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type compose struct {
	Name     string
	Networks map[string]struct{ Name string }
	Volumes  map[string]any
	Services map[string]composeService
}

type composeService struct {
	Image, Hostname string
	Restart         string
	MemLimit        string `yaml:"mem_limit"`
	Profiles        []string
	Ports, Volumes  []string
	Environment     map[string]string
	Healthcheck     struct{ Test any }
}

// composeFile reads docker-compose.yml as compose does with an empty environment.
func composeFile(t *testing.T) compose {
	t.Helper()
	text := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(source(t, "docker-compose.yml"), "$1")
	var c compose
	require.NoError(t, yaml.Unmarshal([]byte(text), &c))
	require.NotEmpty(t, c.Services)
	return c
}

const root = "../../.."

func source(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}

func (c compose) brokers() (names []string) {
	for name, s := range c.Services {
		if strings.HasPrefix(s.Image, "apache/kafka:") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// published returns the address of a container's port on this machine, as `docker compose port` does.
func (s composeService) published(port string) string {
	for _, p := range s.Ports {
		if at, found := strings.CutSuffix(p, ":"+port); found {
			return at
		}
	}
	return ""
}

// listeners parses a list such as NAME://host:port,NAME://host:port, or NAME:protocol.
func listeners(list, between string) map[string]string {
	all := map[string]string{}
	for l := range strings.SplitSeq(list, ",") {
		name, at, _ := strings.Cut(l, between)
		all[name] = at
	}
	return all
}

func TestContainersArePinnedBoundedAndOnLoopback(t *testing.T) {
	t.Parallel()
	c := composeFile(t)
	images, taken := map[string]string{}, map[string]string{}
	for name, s := range c.Services {
		assert.Regexp(t, `^[a-z0-9./-]+:v?\d+\.\d+\.\d+$`, s.Image, "%s: a full version", name)
		image, tag, _ := strings.Cut(s.Image, ":")
		assert.Contains(t, []string{"", tag}, images[image], "%s has two versions", image)
		images[image] = tag
		assert.NotEmpty(t, s.MemLimit, name)
		assert.NotEmpty(t, s.Restart, name)
		assert.NotNil(t, s.Healthcheck.Test, "%s: `make up` waits until it is healthy", name)
		assert.NotEmpty(t, s.Ports, name)
		for _, p := range s.Ports {
			assert.Regexp(t, `^127\.0\.0\.1:\d+:\d+$`, p, "%s has no authentication", name)
			host := p[:strings.LastIndex(p, ":")]
			assert.Empty(t, taken[host], "%s and %s both use %s", name, taken[host], host)
			taken[host] = name
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			assert.Contains(t, c.Volumes, volume, "%s: a named volume, so that its data is kept", name)
		}
	}
	for of, tag := range map[string]string{"apache/kafka": "4.2.1", "amazon/dynamodb-local": "2.6.1"} {
		assert.Equal(t, tag, images[of], "the version that CI uses")
	}
}

// A client connects to the address that a broker advertises, not to the one that it was configured with.
func TestBrokersAdvertiseReachableAddresses(t *testing.T) {
	t.Parallel()
	c := composeFile(t)
	voters := map[string][]string{}
	for _, name := range c.brokers() {
		s := c.Services[name]
		e := s.Environment
		assert.Equal(t, name, s.Hostname)
		listening, advertised := listeners(e["KAFKA_LISTENERS"], "://"), listeners(e["KAFKA_ADVERTISED_LISTENERS"], "://")
		protocols := listeners(e["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"], ":")
		for l := range listening {
			assert.Contains(t, protocols, l, name)
		}
		assert.Len(t, advertised, 2, name)
		assert.Equal(t, s.published(strings.TrimPrefix(listening["HOST"], ":")), advertised["HOST"], name)
		assert.Equal(t, name+listening["NETWORK"], advertised["NETWORK"])
		assert.Equal(t, ":19092", listening["NETWORK"])
		assert.Equal(t, "NETWORK", e["KAFKA_INTER_BROKER_LISTENER_NAME"], name)
		assert.Contains(t, e["KAFKA_CONTROLLER_QUORUM_VOTERS"],
			e["KAFKA_NODE_ID"]+"@"+name+listening[e["KAFKA_CONTROLLER_LISTENER_NAMES"]])
		voters[e["CLUSTER_ID"]] = append(voters[e["CLUSTER_ID"]], name)

		assert.Equal(t, "false", e["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], name)
		assert.Equal(t, "0", e["KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"], name)
		assert.True(t, slices.ContainsFunc(s.Volumes, func(v string) bool { return v == name+":"+e["KAFKA_LOG_DIRS"] }),
			"%s keeps its log", name)
	}
	for _, members := range voters {
		for _, name := range members {
			e := c.Services[name].Environment
			replicas := strconv.Itoa(min(len(members), 3))
			assert.Equal(t, len(members), len(strings.Split(e["KAFKA_CONTROLLER_QUORUM_VOTERS"], ",")), name)
			assert.Equal(t, replicas, e["KAFKA_DEFAULT_REPLICATION_FACTOR"], name)
			assert.Equal(t, replicas, e["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"], name)
			assert.Equal(t, strconv.Itoa((len(members)+1)/2), e["KAFKA_MIN_INSYNC_REPLICAS"], name)
		}
	}
	assert.Len(t, voters, 2, "a single broker and a cluster of three")
}

func TestTheComposeFileAgreesWithTheRest(t *testing.T) {
	t.Parallel()
	c := composeFile(t)
	s, err := settings.Read(func(string) string { return "" })
	require.NoError(t, err)
	assert.Equal(t, s.Brokers.Brokers, []string{c.Services["kafka"].published("9092")}, "the default settings fit `make up`")
	assert.Equal(t, "sipeat", c.Networks["default"].Name, "`sam local` joins it by name")
	for key, brokers := range c.Services["console"].Environment {
		if strings.HasSuffix(key, "_BOOTSTRAPSERVERS") {
			for b := range strings.SplitSeq(brokers, ",") {
				name, _, _ := strings.Cut(b, ":")
				assert.Equal(t, listeners(c.Services[name].Environment["KAFKA_ADVERTISED_LISTENERS"], "://")["NETWORK"], b, key)
			}
		}
	}

	makefile := source(t, "Makefile")
	asked := regexp.MustCompile(`\bat ([a-z]+) (\d+)`).FindAllStringSubmatch(makefile, -1)
	for broker := range strings.FieldsSeq(regexp.MustCompile(`for broker in ([^;]+);`).FindStringSubmatch(makefile)[1]) {
		asked = append(asked, []string{"", broker, "9092"})
	}
	shown := map[string]int{}
	for _, a := range asked {
		assert.NotEmpty(t, c.Services[a[1]].published(a[2]), "the Makefile looks up port %[2]s of %[1]s", a[1], a[2])
		shown[a[1]+":"+a[2]] = 1
	}
	for name, s := range c.Services {
		for _, p := range s.Ports {
			assert.Contains(t, shown, name+p[strings.LastIndex(p, ":"):], "`make up` does not show it")
		}
	}
	for _, at := range regexp.MustCompile(`\b((?:kafka|broker-\d|dynamodb|mail):(\d+))\b`).FindAllStringSubmatch(makefile, -1) {
		name, port, _ := strings.Cut(at[1], ":")
		e := c.Services[name].Environment
		assert.True(t, c.Services[name].published(port) != "" || strings.Contains(e["KAFKA_LISTENERS"], "NETWORK://:"+port),
			"nothing is at %s", at[1])
	}
}

// `make integration` lists every package that has a test for a real server.
func TestIntegrationListsEverySuite(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?m)^INTEGRATION := (.+)$`).FindStringSubmatch(source(t, "Makefile"))
	require.NotNil(t, list)
	var seen int
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return errorOr(err, filepath.SkipDir)
		}
		if !strings.HasSuffix(path, "_test.go") || filepath.Base(filepath.Dir(path)) == "bench" { // benchmarks are no suites
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !regexp.MustCompile(`Getenv\("(KAFKA_BROKERS|DYNAMODB_ENDPOINT)"\)`).Match(text) {
			return err
		}
		seen++
		dir, err := filepath.Rel(root, filepath.Dir(path))
		assert.True(t, slices.ContainsFunc(strings.Fields(list[1]), func(pattern string) bool {
			below, all := strings.CutSuffix(strings.TrimPrefix(pattern, "./"), "/...")
			return dir == below || all && strings.HasPrefix(dir+"/", below+"/")
		}), "%s wants a real server, and `make integration` does not run it", path)
		return err
	}))
	assert.NotZero(t, seen)
}

func errorOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
