package containers

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// samconfig.toml agrees with docker-compose.yml, the template's parameters and the architectures of `make build`.
func TestSAMConfigAgreesWithTheRest(t *testing.T) {
	t.Parallel()
	var template struct {
		Parameters map[string]yaml.Node `yaml:"Parameters"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(source(t, "template.yaml")), &template))
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
			assert.Contains(t, template.Parameters, pair[1])
			given[pair[1]] = pair[2]
		}
		assert.Equal(t, map[string]string{"default": "arm64", "amd64": "x86_64"}[environment], given["Architecture"], s[0])
		assert.Equal(t, "NONE", given["KafkaSaslMechanism"], s[0])
		kafka := listeners(containers.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "://")["NETWORK"]
		assert.Equal(t, kafka, given["KafkaBrokers"], s[0])
		assert.Equal(t, "http://dynamodb:8000", given["DynamoDBEndpoint"], s[0])
		assert.NotEmpty(t, containers.Services["dynamodb"].published("8000"))
	}
	assert.ElementsMatch(t, []string{
		"default local_invoke", "default local_start_api", "default local_start_lambda",
		"amd64 local_invoke", "amd64 local_start_api", "amd64 local_start_lambda",
	}, names)
}
