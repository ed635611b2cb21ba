// Package containers tests docker-compose.yml, the targets of the Makefile for it, and template.yaml under the SAM CLI.
package containers

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/proof/program"
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

func TestMain(m *testing.M) { program.Main(m) }

func source(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}

// inNetwork is the address at which other containers find a broker.
func (s composeService) inNetwork() string {
	_, rest, _ := strings.Cut(s.Environment["KAFKA_ADVERTISED_LISTENERS"], "NETWORK://")
	at, _, _ := strings.Cut(rest, ",")
	return at
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

// Brokers create no topics by themselves: `make topics` does, with the settings of the catalogue.
func TestBrokersAreWhereClientsExpectThem(t *testing.T) {
	t.Parallel()
	c := composeFile(t)
	s, err := settings.Read(func(string) string { return "" })
	require.NoError(t, err)
	assert.Contains(t, c.Services["kafka"].Ports, s.Brokers.Brokers[0]+":9092", "the default settings fit `make up`")
	assert.Equal(t, "sipeat", c.Networks["default"].Name, "`sam local` joins it by name")
	for name, s := range c.Services {
		if strings.HasPrefix(s.Image, "apache/kafka:") {
			assert.Equal(t, "false", s.Environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], name)
		}
	}
	for key, brokers := range c.Services["console"].Environment {
		if strings.HasSuffix(key, "_BOOTSTRAPSERVERS") {
			for b := range strings.SplitSeq(brokers, ",") {
				name, _, _ := strings.Cut(b, ":")
				assert.Equal(t, c.Services[name].inNetwork(), b, key)
			}
		}
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
			return cmp.Or(err, filepath.SkipDir)
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

// samconfig.toml agrees with docker-compose.yml, the template's parameters and the architectures of `make build`.
func TestSAMConfigAgreesWithTheRest(t *testing.T) {
	t.Parallel()
	containers := composeFile(t)
	sections := regexp.MustCompile(`(?m)^\[(\w+)\.(local_\w+)\.parameters\]\n((?:[^[\n].*\n)*)`).
		FindAllStringSubmatch(source(t, "samconfig.toml"), -1)
	var names []string
	for _, s := range sections {
		environment, settings := s[1], s[3]
		names = append(names, environment+" "+s[2])
		assert.Contains(t, settings, `docker_network = "`+containers.Networks["default"].Name+`"`, s[0])
		assert.Contains(t, settings, "skip_pull_image = true", "%s: images that are present are not checked on each start", s[0])
		given := map[string]string{}
		for _, pair := range regexp.MustCompile(`"(\w+)=([^"]*)"`).FindAllStringSubmatch(settings, -1) {
			assert.Contains(t, source(t, "template.yaml"), "\n  "+pair[1]+":\n", "a parameter")
			given[pair[1]] = pair[2]
		}
		assert.Equal(t, map[string]string{"default": "arm64", "amd64": "x86_64"}[environment], given["Architecture"], s[0])
		assert.Equal(t, "NONE", given["KafkaSaslMechanism"], s[0])
		assert.Equal(t, containers.Services["kafka"].inNetwork(), given["KafkaBrokers"], s[0])
		assert.Equal(t, "http://dynamodb:8000", given["DynamoDBEndpoint"], s[0])
	}
	assert.ElementsMatch(t, []string{
		"default local_invoke", "default local_start_api", "default local_start_lambda",
		"amd64 local_invoke", "amd64 local_start_api", "amd64 local_start_lambda",
	}, names)
}
