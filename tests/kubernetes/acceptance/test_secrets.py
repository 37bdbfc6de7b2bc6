from tests.acceptance.test_secrets import *  # noqa: F403
from tests.kubernetes_place import needs_cluster

pytestmark = needs_cluster
