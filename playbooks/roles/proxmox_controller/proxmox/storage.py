"""Storages of a node, and the files on them."""


def storage_list(operation):
    return [operation.result(
        storage_name=item.get("storage"),
        storage_type=item.get("type"),
        storage_active=int(item.get("active") or 0),
        storage_space_available=item.get("avail"),
        storage_space_total=item.get("total"),
        storage_space_used=item.get("used"),
        storage_space_used_fraction=item.get("used_fraction"),
        storage_content_types=item.get("content"),
        storage_is_enable=int(item.get("enabled") or 0),
        storage_is_share=int(item.get("shared") or 0),
    ) for item in storages(operation)]


def storages(operation, **conditions):
    """The requested storage, or all storages if none is requested or the node has none of that name."""
    name, found = operation.text("storage_name"), operation.get(operation.path("storage"), **conditions)
    return [item for item in found if name and item.get("storage") == name] or found


def storage_list_iso(operation):
    return [operation.result(
        storage_name=storage,
        iso_content=item.get("content"),
        iso_format=item.get("format"),
        iso_ctime=item.get("ctime"),
        iso_size=item.get("size"),
        iso_vol_id=item.get("volid"),
    ) for storage, item in files(operation, "iso")]


def storage_list_template(operation):
    return [operation.result(
        storage_name=storage,
        template_content=item.get("content"),
        template_format=item.get("format"),
        template_ctime=item.get("ctime"),
        template_size=item.get("size"),
        template_vol_id=item.get("volid"),
    ) for storage, item in files(operation, "vztmpl")]


def files(operation, content):
    """Yields (storage, file) for a content type, from the requested storage or all that support the type."""
    name = operation.text("storage_name")
    names = [name] if name else [
        item["storage"] for item in storages(operation, content=content, enabled=1) if item.get("active")]
    for storage in names:
        for item in operation.get(operation.path("storage", storage, "content"), content=content):
            yield storage, item


def storage_download_iso(operation):
    storage, name = operation.text("proxmox_storage"), operation.text("iso_file_name")
    content, url = operation.text("iso_file_content_type") or "iso", operation.text("iso_url")
    upid = operation.task(
        "POST", operation.path("storage", storage, "download-url"), content=content, filename=name, url=url)
    return operation.result(
        proxmox_storage=storage,
        iso_file_content_type=content,
        iso_file_name=name,
        iso_url=url,
        raw_info={"data": upid},
    )
