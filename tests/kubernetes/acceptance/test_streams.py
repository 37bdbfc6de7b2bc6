from tests.acceptance.test_streams import *  # noqa: F403
from tests.kubernetes_place import needs_cluster

pytestmark = needs_cluster
