"""The web entry: the root leads to the admin, and its files are served without being collected first."""

import pytest
from django.test import Client


def test_the_root_leads_to_the_admin(client: Client) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.django_db
def test_the_login_page_answers(client: Client) -> None:
    assert client.get("/admin/login/").status_code == 200


@pytest.mark.django_db
def test_static_files_are_served(client: Client) -> None:
    response = client.get("/static/unfold/css/styles.css")
    assert response.status_code == 200
    response.close()
