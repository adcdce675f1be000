"""Live reads for the sweep."""

from certfront.kube.client import ApiClient
from certfront.kube.resources import CERTIFICATES, SECRETS
from certfront.kube.source import LiveSource, Watched
from tests.unit.kube.apiserver import ApiServer


def secret(namespace: str) -> dict[str, object]:
    return {"metadata": {"namespace": namespace, "name": "tls"}}


async def test_a_kind_is_listed_as_it_is_watched(server: ApiServer, client: ApiClient) -> None:
    for namespace in ("bank", "shop", "other"):
        server.store(f"/api/v1/namespaces/{namespace}/secrets/tls", secret(namespace))
    source = LiveSource(
        client,
        {
            "Secret": Watched(
                resource=SECRETS, namespaces=("bank", "shop"), label_selector="certfront.io/secret"
            ),
            "Certificate": Watched(resource=CERTIFICATES),
        },
    )
    listing = await source.list_metadata("Secret")
    assert [item["metadata"]["namespace"] for item in listing.items] == ["bank", "shop"]
    assert {asked.query["labelSelector"] for asked in server.asked} == {"certfront.io/secret"}
    assert all("PartialObjectMetadataList" in asked.headers["Accept"] for asked in server.asked)
    assert (await source.list_metadata("Certificate")).items == []
    assert server.asked[-1].path == "/apis/certfront.io/v1alpha1/certificates"


async def test_absence_is_none(server: ApiServer, client: ApiClient) -> None:
    server.store("/api/v1/namespaces/shop/secrets/tls", secret("shop"))
    source = LiveSource(client, {"Secret": Watched(resource=SECRETS)})
    assert await source.get("Secret", "shop", "tls") is not None
    assert await source.get("Secret", "shop", "other") is None


async def test_several_namespaces_have_the_revision_of_the_oldest_list(
    server: ApiServer, client: ApiClient
) -> None:
    """A change after the first list is newer than the whole, not history that was lost."""
    watched = Watched(resource=SECRETS, namespaces=("bank", "shop"))
    first = server.revision

    async def then_change(request: object) -> object:
        response = await server.answer(request)  # type: ignore[arg-type] # handed on as it came
        server.store("/api/v1/namespaces/bank/secrets/tls", secret("bank"))
        return response

    server.script = [then_change]  # type: ignore[list-item] # as above
    listing = await LiveSource(client, {"Secret": watched}).list_metadata("Secret")
    assert listing.resource_version == str(first)
