//! A device that computes nothing, with any limits.

use wgpu_optim::wgpu::{
    BackendOptions, Backends, Device, DeviceDescriptor, Instance, InstanceDescriptor, Limits,
    NoopBackendOptions, Queue, RequestAdapterOptions,
};

use crate::ok;

/// A noop device with exactly these limits, and its queue, which it does not outlive.
pub fn device(limits: Limits) -> (Device, Queue) {
    let noop = NoopBackendOptions { enable: true, ..Default::default() };
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::NOOP,
        backend_options: BackendOptions { noop, ..Default::default() },
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&RequestAdapterOptions::default()));
    let descriptor = DeviceDescriptor { required_limits: limits, ..Default::default() };
    ok(pollster::block_on(ok(adapter).request_device(&descriptor)))
}
