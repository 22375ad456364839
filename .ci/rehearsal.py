"""Deploys template.yaml to moto, and looks at what is there.

Called by .ci/rehearsal with a folder for what it writes. The parameters of each rehearsal are below; what has to be
there follows from the template alone.
"""

import ast
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path

# Where moto takes a request without a signature to be, such as an answer of the schema step.
os.environ.update(
    AWS_ACCESS_KEY_ID="rehearsal",
    AWS_SECRET_ACCESS_KEY="rehearsal",
    AWS_DEFAULT_REGION="us-east-1",
)

import boto3  # noqa: E402 (these read the environment)
from moto.cloudformation.parsing import resource_class_from_type  # noqa: E402
from samcli.lib.providers.api_provider import ApiProvider  # noqa: E402
from samcli.lib.providers.sam_function_provider import SamFunctionProvider  # noqa: E402
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

# SAM tells of features that it lacks, and moto of types.
logging.disable(logging.WARNING)

WORK = Path(sys.argv[1])
TEMPLATE = "template.yaml"
ACCOUNT = "123456789012"
REGION = os.environ["AWS_DEFAULT_REGION"]


def secret(name):
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:oms/{name}"


# What the first deployment needs.
LEAST = {"MongoUriArn": secret("mongo-uri"), "JwtSecretArn": secret("jwt-secret")}
REHEARSALS = {
    "least": LEAST,
    "edge": {
        **LEAST,
        "OrdersMongoUriArn": secret("orders-mongo-uri"),
        "ProductsMongoUriArn": secret("products-mongo-uri"),
        "UsersMongoUriArn": secret("users-mongo-uri"),
        "SchemaMongoUriArn": secret("schema-mongo-uri"),
        "AdminEmail": "admin@example.com",
        "AdminPasswordArn": secret("admin-password"),
        "DomainName": "api.example.com",
        "CertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/edge",
        "HostedZoneId": "Z0000000000000",
        "EdgeSecretArn": secret("edge-secret"),
        "WebAclArn": f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/webacl/oms/1",
        "Architecture": "x86_64",
        "OrdersConcurrency": "40",
        "ProductsConcurrency": "40",
        "UsersConcurrency": "20",
        "ReconcileShards": "4",
        "SubnetIds": "subnet-1,subnet-2",
        "SecurityGroupIds": "sg-1",
        "DeploymentPreference": "AllAtOnce",
        "AlarmEmail": "oncall@example.com",
        "DetailedMetrics": "true",
    },
    # CloudFront in front and a base path exclude each other.
    "domain": {
        **LEAST,
        "DomainName": "api.example.com",
        "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/api",
        "HostedZoneId": "Z0000000000000",
        "BasePath": "shop/v1",
        "ReconcileShards": "2",
    },
}

def is_made(kind):
    """Whether moto's CloudFormation makes resources of a type."""
    return resource_class_from_type(kind) is not None


def fail(text):
    sys.exit(f"the rehearsal failed: {text}")


def check(is_right, text):
    if not is_right:
        fail(text)


class NoManagedPolicies:
    def load(self):
        fail("a function asks for a policy of AWS by its name")


def with_defaults(template, parameters):
    declared = template["Parameters"]
    values = {name: str(it["Default"]) for name, it in declared.items() if "Default" in it}
    values.update(parameters)
    check(values.keys() == declared.keys(), f"parameters without a value: {declared.keys() - values.keys()}")
    lists = {name for name, it in declared.items() if it["Type"] == "CommaDelimitedList"}
    return {name: value.split(",") if name in lists else value for name, value in values.items()}


def condition(template, values, it):
    """Whether a condition of the template is true."""
    if isinstance(it, str):
        return condition(template, values, template["Conditions"][it])
    ((function, argument),) = it.items()
    if function == "Condition":
        return condition(template, values, argument)
    if function == "Fn::Not":
        return not condition(template, values, argument[0])
    if function == "Fn::And":
        return all(condition(template, values, each) for each in argument)
    if function == "Fn::Equals":
        left, right = (text(values, each) for each in argument)
        return left == right
    fail(f"the rehearsal does not know {function}")


def text(values, it):
    if not isinstance(it, dict):
        return str(it)
    ((function, argument),) = it.items()
    if function == "Ref":
        return values[argument]
    if function == "Fn::Join":
        return argument[0].join(text(values, argument[1]))
    fail(f"the rehearsal does not know {function}")


def check_rules(template, values):
    """The template's own rules take these parameters."""
    for name, rule in template.get("Rules", {}).items():
        if condition(template, values, rule["RuleCondition"]):
            for assertion in rule["Assertions"]:
                check(condition(template, values, assertion["Assert"]), f"{name}: {assertion['AssertDescription']}")


def expanded(parameters):
    """The template as CloudFormation gets it from SAM, with the functions' code in a bucket."""
    with open(TEMPLATE, encoding="utf-8") as file:
        template = yaml_parse(file)
    del template["Globals"]["Function"]["CodeUri"]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://rehearsal/function.zip"
    return transform(template, dict(parameters), NoManagedPolicies())


def referred(it, substituted=frozenset()):
    """Logical IDs that a value refers to."""
    if isinstance(it, list):
        for each in it:
            yield from referred(each)
    if not isinstance(it, dict):
        return
    for name, value in it.items():
        if name == "Ref":
            yield value
        elif name == "Fn::GetAtt":
            yield value[0] if isinstance(value, list) else value.split(".")[0]
        elif name == "Fn::Sub":
            sub, own = (value, {}) if isinstance(value, str) else value
            yield from (part.split("}")[0].split(".")[0] for part in sub.split("${")[1:])
            yield from referred(own)
        elif name == "DependsOn":
            yield from [value] if isinstance(value, str) else value
        else:
            yield from referred(value)


def check_order(resources):
    """No resource waits for itself. CloudFormation would refuse the stack, and moto does not."""
    waits = {name: set(referred(it)) & resources.keys() for name, it in resources.items()}
    done, under_way = set(), []

    def visit(name):
        if name in under_way:
            fail("resources wait for each other: " + " → ".join([*under_way[under_way.index(name):], name]))
        if name not in done:
            under_way.append(name)
            for other in sorted(waits[name]):
                visit(other)
            under_way.pop()
            done.add(name)

    for name in resources:
        visit(name)


def check_expansion(template, expansion):
    """What SAM has added: no role, and everything that invokes names the alias."""
    resources = expansion["Resources"]
    check_order(resources)
    added = {name: it["Type"] for name, it in resources.items() if name not in template["Resources"]}
    roles = [name for name, kind in added.items() if kind.startswith("AWS::IAM::")]
    check(not roles, f"SAM adds roles: {roles}")
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Permission":
            function = resource["Properties"]["FunctionName"].get("Ref", "")
            check(function.endswith("Aliaslive"), f"{name} permits {function}, and not an alias")
    for name, alias in resources.items():
        if alias["Type"] != "AWS::Lambda::Alias":
            continue
        function = alias["Properties"]["FunctionName"]["Ref"]
        has_route = any(event["Type"] == "HttpApi" for event in
                        template["Resources"][function]["Properties"].get("Events", {}).values())
        update = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
        check(bool(update) == has_route, f"{name} shifts traffic: {update}")
        tried = {"Fn::If": ["WatchesDeployment", {"Ref": "Smoke"}, {"Ref": "AWS::NoValue"}]}
        check(not has_route or update.get("BeforeAllowTrafficHook") == tried, f"{name} is not tried")
    body = json.dumps(resources["Api"]["Properties"]["Body"])
    check("Aliaslive" in body and ".Arn}/invocations" not in body, "a route does not lead to an alias")


def lint(name, expansion):
    """cfn-lint on the expansion, in which SAM has replaced some parameters."""
    path = WORK / f"rehearsal-{name}.json"
    path.write_text(json.dumps(expansion, indent=2))
    command = ["cfn-lint", "--ignore-checks", "W2001", "--", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"cfn-lint on the expansion:\n{done.stdout}{done.stderr}")


class Moto:
    """moto's server. Its Lambda runs no function without Docker, so the rehearsal answers for the schema step."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        # The name, since moto takes a bucket for a subdomain of an address.
        self.url = f"http://localhost:{port}"
        log = open(WORK / "rehearsal-moto.log", "w", encoding="utf-8")
        environment = {**os.environ, "MOTO_PORT": str(port)}
        self.process = subprocess.Popen(
            ["moto_server", "--host", "localhost", "--port", str(port)], stdout=log, stderr=log, env=environment
        )
        for _ in range(300):
            try:
                self.send("POST", "/moto-api/reset", {}, "application/json")
                return self
            except OSError:
                check(self.process.poll() is None, f"moto ended; see {log.name}")
                time.sleep(0.1)
        fail("moto does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def send(self, method, path, body, content_type):
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": content_type}, method=method)
        return urllib.request.urlopen(request, timeout=30).read()

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION)


def code(moto):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", "#!/bin/sh\n")
    s3 = moto.client("s3")
    s3.create_bucket(Bucket="rehearsal")
    s3.put_object(Bucket="rehearsal", Key="function.zip", Body=archive.getvalue())


def without_absent(expansion, values, it):
    """A value without the elements of lists that are absent under a condition. moto keeps them, and refuses them."""
    if isinstance(it, dict):
        return {name: without_absent(expansion, values, value) for name, value in it.items()}
    if not isinstance(it, list):
        return it
    kept = []
    for each in it:
        if isinstance(each, dict) and "Fn::If" in each:
            name, then, otherwise = each["Fn::If"]
            each = then if condition(expansion, values, name) else otherwise
            if each == {"Ref": "AWS::NoValue"}:
                continue
        kept.append(without_absent(expansion, values, each))
    return kept


def with_arns(resources, it):
    """A value with the ARN of an alias, a version or a secret in place of a reference to it, which moto does not know."""
    if isinstance(it, list):
        return [with_arns(resources, each) for each in it]
    if not isinstance(it, dict):
        return it
    referred_to = resources.get(it["Ref"], {}) if it.keys() == {"Ref"} else {}
    if referred_to.get("Type") in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        properties = referred_to["Properties"]
        # The first version of a function is 1.
        return {"Fn::Sub": "${%s.Arn}:%s" % (properties["FunctionName"]["Ref"], properties.get("Name", 1))}
    if referred_to.get("Type") == "AWS::SecretsManager::Secret":
        return secret(it["Ref"])
    return {name: with_arns(resources, value) for name, value in it.items()}


def for_moto(expansion, values):
    """The expansion in words that moto knows. Its Lambda has no alias to permit, or to send an event to."""
    resources = without_absent(expansion, values, expansion["Resources"])
    resources = with_arns(resources, resources)
    resources = {name: it for name, it in resources.items() if is_possible(resources, it)}
    resources["SchemaStep"]["Properties"]["ServiceToken"] = {"Fn::GetAtt": ["Schema", "Arn"]}
    return {**expansion, "Resources": resources, "Outputs": {}}


def is_possible(resources, resource):
    """Whether moto can make a resource, or leaves it out: not if it permits an alias, or needs what moto leaves out."""
    needs = re.findall(r'"Fn::GetAtt": \["(\w+)"', json.dumps(resource))
    return resource["Type"] != "AWS::Lambda::Permission" and all(is_made(resources[name]["Type"]) for name in needs)


def in_vpc(moto, parameters):
    """The same parameters with subnets and a group that are there."""
    if "SubnetIds" not in parameters:
        return parameters
    ec2 = moto.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets()["Subnets"]
    group = ec2.create_security_group(GroupName="rehearsal", Description="rehearsal", VpcId=vpc)["GroupId"]
    return {**parameters, "SubnetIds": ",".join(it["SubnetId"] for it in subnets[:2]), "SecurityGroupIds": group}


def deploy(moto, name, expansion, parameters):
    cloudformation = moto.client("cloudformation")
    listed = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    stack = cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(expansion), Parameters=listed, Capabilities=["CAPABILITY_IAM"]
    )["StackId"]
    # What the schema step sends when it is done.
    answer = {
        "Status": "SUCCESS", "StackId": stack, "LogicalResourceId": "SchemaStep", "PhysicalResourceId": "schema",
        "RequestId": "rehearsal", "Data": {},
    }
    moto.send("PUT", f"/cloudformation_{REGION}/cfnresponse?stack={stack}", answer, "")
    status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    check(status == "CREATE_COMPLETE", f"the stack {name} is {status}")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return {it["LogicalResourceId"]: it for page in pages for it in page["StackResourceSummaries"]}


def check_resources(expansion, values, made):
    """What is there is what the template has under conditions that are true."""
    expected = {
        name: it["Type"] for name, it in expansion["Resources"].items()
        if ("Condition" not in it or condition(expansion, values, it["Condition"])) and is_made(it["Type"])
    }
    found = {name: it["ResourceType"] for name, it in made.items() if name}
    check(found == expected, f"missing {expected.keys() - found.keys()}, too many {found.keys() - expected.keys()}")
    return Counter(found.values())


def statements(moto, role):
    """All that a role allows, its own policies and those attached to it."""
    iam = moto.client("iam")
    documents = []
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        documents.append(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    # moto shows a document that came through CloudFormation as Python does.
    documents = [ast.literal_eval(it) if isinstance(it, str) else it for it in documents]
    return [statement for document in documents for statement in as_list(document["Statement"])]


def as_list(it):
    return it if isinstance(it, list) else [it]


def check_deployed_functions(moto, expansion, parameters, made):
    """Each function may invoke what its variables name, read the secrets that they name, and those are there."""
    functions = moto.client("lambda")
    kinds = {name: it["Type"] for name, it in expansion["Resources"].items()}
    names = [made[name]["PhysicalResourceId"] for name, kind in kinds.items() if kind == "AWS::Lambda::Function"]
    versions = {
        it["FunctionArn"] for name in names for it in functions.list_versions_by_function(FunctionName=name)["Versions"]
    }
    declared = [it["Properties"] for it in expansion["Resources"].values() if it["Type"] == "AWS::Lambda::Alias"]
    arns = {name: made[name]["PhysicalResourceId"] for name in made}
    aliases = {
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{arns[it['FunctionName']['Ref']]}:{it['Name']}" for it in declared
    } | versions
    made_secrets = {secret(name) for name, kind in kinds.items() if kind == "AWS::SecretsManager::Secret"}
    for name in names:
        config = functions.get_function_configuration(FunctionName=name)
        variables = {key: str(value) for key, value in config["Environment"]["Variables"].items()}
        allowed = statements(moto, config["Role"].rsplit("/", 1)[1])

        def resources(action):
            return {it for each in allowed if action in as_list(each["Action"]) for it in as_list(each["Resource"])}

        invoked, read = resources("lambda:InvokeFunction"), resources("secretsmanager:GetSecretValue")
        check(invoked <= aliases, f"{name} may invoke {invoked - aliases}, which are not there")
        calls = {value.removeprefix("lambda:") for value in variables.values() if value.startswith("lambda:")}
        tried = {value for key, value in variables.items() if key.endswith("_VERSION")}
        called = tried | {arn for arn in aliases for call in calls if arn.endswith(":function:" + call)}
        check(invoked == called and len(called) == len(calls | tried), f"{name} calls {called}, and may {invoked}")
        secrets = {value for key, value in variables.items() if key.endswith("_ARN") and value}
        check(read == secrets, f"{name} reads {secrets}, and may read {read}")
        check(secrets <= set(parameters.values()) | made_secrets, f"{name} reads {secrets}")
        check(not any("*" in action for each in allowed for action in as_list(each["Action"])), f"{name} may too much")


def check_schedules(expansion, values):
    """Each shard is called once a minute, with its own body."""
    bodies = []
    for name, schedule in expansion["Resources"].items():
        if schedule["Type"] != "AWS::Scheduler::Schedule" or "Input" not in schedule["Properties"]["Target"]:
            continue
        if "Condition" in schedule and not condition(expansion, values, schedule["Condition"]):
            continue
        check(schedule["Properties"]["ScheduleExpression"] == "rate(1 minute)", f"{name} is at another time")
        template, own = schedule["Properties"]["Target"]["Input"]["Fn::Sub"]
        table, row, column = own["Body"]["Fn::FindInMap"]
        body = expansion["Mappings"][table][text(values, row)][column]
        bodies.append(json.loads(template.replace("${Body}", body))["grpc"]["body"])
    shards = int(values["ReconcileShards"])
    check(len(bodies) == len(set(bodies)) == shards, f"{shards} shards are called by {bodies}")


def check_dashboard(moto, expansion):
    """The dashboard is JSON in which all names are filled in, but for those that moto does not know."""
    cloudwatch = moto.client("cloudwatch")
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
    left = {part.split("}")[0] for part in body.split("${")[1:]}
    left -= {name for name, it in expansion["Resources"].items() if not is_made(it["Type"])}
    check(not left, f"the dashboard has no {left}")
    return len(json.loads(body)["widgets"])


def check_sam_local(template):
    """`sam local` knows the functions, their variables and the routes."""
    parameters = {**LEAST, "Architecture": "x86_64"}
    stacks, _ = SamLocalStackProvider.get_stacks(TEMPLATE, parameter_overrides=parameters)
    functions = {it.name: it for it in SamFunctionProvider(stacks, use_raw_codeuri=True).get_all()}
    declared = {name: it for name, it in template["Resources"].items() if it["Type"] == "AWS::Serverless::Function"}
    check(functions.keys() == declared.keys(), f"sam local has {functions.keys()}")
    for name, function in functions.items():
        sizes = template["Mappings"]["Functions"][name]
        is_sized = (function.memory, function.timeout) == (sizes["MemorySize"], sizes["Timeout"])
        check(is_sized, f"sam local sizes {name} otherwise")
        variables = function.environment["Variables"]
        check(variables.get("BASE_PATH", "") == "", f"sam local puts {name} below {variables.get('BASE_PATH')}")
        for key in (key for key in variables if key.endswith("_SERVICE_URL")):
            callee = str(variables[key]).removeprefix("lambda:").removesuffix(":live")
            check(callee in functions, f"sam local has {variables[key]} for {key} of {name}")
    routes = {(route.path, method) for route in ApiProvider(stacks).routes for method in route.methods}
    for resource in declared.values():
        for event in resource["Properties"].get("Events", {}).values():
            properties = event["Properties"]
            path, method = properties.get("Path", "$default"), properties.get("Method", "ANY")
            found = any(it[0] == path and method in ("ANY", it[1]) for it in routes)
            check(found, f"sam local has no route {method} {path}: {sorted(routes)}")
    return len(functions), len(routes)


def rehearse(name, parameters):
    with Moto() as moto:
        code(moto)
        parameters = in_vpc(moto, parameters)
        with open(TEMPLATE, encoding="utf-8") as file:
            template = yaml_parse(file)
        values = with_defaults(template, parameters)
        check_rules(template, values)
        expansion = expanded(parameters)
        check_expansion(template, expansion)
        lint(name, expansion)
        deployed = for_moto(expansion, values)
        made = deploy(moto, name, deployed, parameters)
        counts = check_resources(deployed, values, made)
        check_deployed_functions(moto, expansion, parameters, made)
        check_schedules(expansion, values)
        widgets = check_dashboard(moto, expansion)
    others = {it["Type"] for it in expansion["Resources"].values() if not is_made(it["Type"])}
    print(f"{name}: {counts.total()} resources of {len(counts)} types are deployed, with {widgets} widgets; "
          f"moto has none of {len(others)} other types")


def main():
    with open(TEMPLATE, encoding="utf-8") as file:
        template = yaml_parse(file)
    functions, routes = check_sam_local(template)
    print(f"sam local: {functions} functions, {routes} methods of routes")
    for name, parameters in REHEARSALS.items():
        rehearse(name, parameters)
    conditional = {it["Condition"] for it in template["Resources"].values() if "Condition" in it}
    values = {name: with_defaults(template, parameters) for name, parameters in REHEARSALS.items()}
    for name in conditional:
        seen = {condition(template, each, name) for each in values.values()}
        check(seen == {True, False}, f"no rehearsal has the condition {name} otherwise than {seen}")


main()
