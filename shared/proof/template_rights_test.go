package proof

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// documented are the rights that nothing here can run for: what Kafka's own protocol needs around each access
// (https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html), and what a mapping does with the role of its function
// (https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html, …/msk-cluster-auth.html).
func documented(f lambda) []string {
	if f.side == "queries" {
		return nil
	}
	rights := []string{"kafka-cluster:Connect cluster", "kafka-cluster:WriteDataIdempotently cluster"}
	for _, need := range f.needs {
		if topic, writes := strings.CutPrefix(need, "kafka-cluster:WriteData "); writes {
			rights = append(rights, "kafka-cluster:DescribeTopic "+topic)
		}
	}
	if f.side == "commands" {
		return rights
	}
	rights = append(rights,
		"kafka:DescribeClusterV2 cluster", "kafka:GetBootstrapBrokers cluster", "kafka-cluster:DescribeClusterDynamicConfiguration cluster",
		"kafka-cluster:DescribeTopic topic/"+f.topic, "kafka-cluster:ReadData topic/"+f.topic,
		"kafka-cluster:DescribeGroup group/"+f.group, "kafka-cluster:AlterGroup group/"+f.group,
	)
	for _, action := range []string{
		"CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs",
	} {
		rights = append(rights, "ec2:"+action+" *")
	}
	return rights
}

// mailing are those of SES, which takes a raw letter by either name: package ses says why.
var mailing = []string{
	"ses:SendEmail arn:aws:ses:eu-central-1:111122223333:identity/sipeat.example",
	"ses:SendRawEmail arn:aws:ses:eu-central-1:111122223333:identity/sipeat.example",
}

// rights compares what each role may do with what its function needs: not less, and not more.
func (d *drifting) rights(full, least *stack, c code) {
	for _, f := range c.functions {
		id := f.logical() + "Function"
		for _, s := range []*stack{full, least} {
			n := s.resources[id]
			if n == nil {
				continue
			}
			needed := slices.Concat(f.needs, documented(f))
			if f.topic == "notification" && s == full {
				needed = append(needed, mailing...)
			}
			given := d.given(s, id)
			for _, right := range needed {
				if !slices.ContainsFunc(given, func(g granted) bool { return g.right == right }) {
					d.say([]*yaml.Node{child(n, "Properties", "Policies"), n}, "%s may not %s, and its code needs it", id, right)
				}
			}
			for _, g := range given {
				if !slices.Contains(needed, g.right) {
					d.say([]*yaml.Node{g.at}, "%s may %s, and its code does not need it", id, g.right)
				}
			}
		}
	}
}

// Each right has its reason in a comment.
func TestEachRightHasItsReason(t *testing.T) {
	t.Parallel()
	text := source(t, "template.yaml")
	var comments strings.Builder
	for _, line := range lines(text) {
		if comment, found := strings.CutPrefix(strings.TrimSpace(line), "#"); found {
			comments.WriteString(comment + "\n")
		}
	}
	s, err := readStack(text, map[string]string{"SesIdentity": "sipeat.example"})
	require.NoError(t, err)
	var d drifting
	for _, id := range s.of("AWS::Serverless::Function") {
		for _, g := range d.given(s, id) {
			action, _, _ := strings.Cut(g.right, " ")
			assert.Contains(t, comments.String(), action, "line %d of template.yaml", g.at.Line)
		}
	}
	assert.Empty(t, d.found)
}

type granted struct {
	right string
	at    *yaml.Node
}

// given reads a function's policies. ARNs of the cluster are shortened to cluster, topic/NAME and group/NAME.
func (d *drifting) given(s *stack, id string) (all []granted) {
	const arn, of = "arn:aws:kafka:eu-central-1:111122223333:", "/sipeat/0f1e-1"
	short := func(resource string) string {
		rest, kafka := strings.CutPrefix(resource, arn)
		kind, name, ours := strings.Cut(rest, of)
		if !kafka || !ours {
			return resource
		}
		return kind + name
	}
	for _, policy := range contents(child(s.resources[id], "Properties", "Policies")) {
		if policy.Kind != yaml.MappingNode {
			d.say([]*yaml.Node{policy}, "%s has the policy %s of somebody else's: what a function may do stands here", id, s.text(policy))
			continue
		}
		for _, n := range contents(child(policy, "Statement")) {
			statement, there := s.value(n).(map[string]any)
			if !there {
				continue // AWS::NoValue
			}
			if statement["Effect"] != "Allow" || len(statement) != 3 {
				d.say([]*yaml.Node{n}, "%s has a statement that is not Effect: Allow, Action and Resource alone", id)
			}
			for _, action := range texts(statement["Action"]) {
				for _, resource := range texts(statement["Resource"]) {
					all = append(all, granted{fmt.Sprintf("%s %s", action, short(resource)), n})
				}
			}
		}
	}
	return all
}

func contents(n *yaml.Node) []*yaml.Node {
	if n == nil {
		return nil
	}
	return n.Content
}
